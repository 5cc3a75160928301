// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Sidecars are the names under which other injectors are known to add containers. They receive values only when an annotation names them.
var Sidecars = []string{
	"consul-dataplane", "envoy-sidecar", // Consul
	"daprd",                           // Dapr
	"istio-proxy", "istio-validation", // Istio
	"jaeger-agent",  // Jaeger operator
	"kuma-sidecar",  // Kuma
	"linkerd-debug", // Linkerd
	"linkerd-network-validator", "linkerd-proxy",
	"queue-proxy",   // Knative
	"traffic-agent", // Telepresence
	"vault-agent",   // Vault
}

// target is a container that receives the ENVs of a consumer, secrets it refers to itself, or both.
type target struct {
	list     string
	index    int
	c        *container
	consumer ref.Consumer        // zero if it has none
	field    string              // the annotation that chose the consumer; of the container if it has none
	names    *wire.ConsumerNames // of the consumer; empty without one
	inline   []inlineEnv         // references of the container itself, in its order
	envs     []wire.EnvName      // all it receives: of the consumer, then inline
	delivery wire.Delivery       // empty without ENVs
	why      string              // it was chosen
	image    *Image              // whose command is wrapped; nil if that is the container's own
}

func containerField(list string, index int) string { return fmt.Sprintf("spec.%s[%d]", list, index) }

// chooseTargets turns the wish into targets, in the order of the pod: init containers first.
func (p *planner) chooseTargets(w wish) {
	// Before anything is searched for: a pod's size alone must not buy quadratic work.
	if len(w.own) > wire.MaxContainers || w.all && len(p.pod.Spec.Containers) > wire.MaxContainers {
		p.deny(ReasonTooMany, "spec.containers", fmt.Sprintf("more than %d containers would receive values", wire.MaxContainers))
		return
	}
	chosen := make(map[string]struct{})
	for _, name := range slices.Sorted(maps.Keys(w.own)) {
		key := podspec.AnnotationConsumerPrefix + name
		if t := p.find(name, annotationField(clip(key))); t != nil {
			t.consumer = w.own[name]
			p.targets = append(p.targets, *t)
			chosen[name] = struct{}{}
		}
	}
	if w.consumer != nil {
		for _, name := range p.defaultContainers(w) {
			if _, taken := chosen[name]; taken {
				if !w.all {
					p.deny(ReasonTwoConsumers, annotationField(podspec.AnnotationConsumerPrefix+clip(name)),
						fmt.Sprintf("container %q also receives %s, the pod's consumer", clip(name), w.consumer))
				}
				continue
			}
			if t := p.find(name, annotationField(podspec.AnnotationContainers)); t != nil {
				t.consumer, t.field = *w.consumer, annotationField(podspec.AnnotationConsumer)
				p.targets = append(p.targets, *t)
			}
		}
	}
	p.chooseInline()
	if len(p.targets) == 0 && !p.denied() && w.consumer == nil {
		p.deny(ReasonNoConsumer, annotationField(podspec.AnnotationConsumer), "the pod opted in with the label "+podspec.LabelInject+" but names no consumer and refers to no secret")
	}
	slices.SortFunc(p.targets, func(a, b target) int {
		if a.list != b.list {
			return -strings.Compare(a.list, b.list) // "initContainers" before "containers"
		}
		return a.index - b.index
	})
	if len(p.targets) > wire.MaxContainers {
		p.deny(ReasonTooMany, "spec.containers", fmt.Sprintf("%d containers would receive values; the limit is %d", len(p.targets), wire.MaxContainers))
	}
}

// defaultContainers names the containers that receive the pod's consumer.
func (p *planner) defaultContainers(w wish) []string {
	spec := &p.pod.Spec
	switch {
	case w.all:
		var names []string
		for i := range spec.Containers {
			if name := spec.Containers[i].Name; !slices.Contains(Sidecars, name) {
				names = append(names, name)
			}
		}
		return names
	case len(w.containers) > 0:
		return w.containers
	}
	if name := p.pod.Metadata.Annotations[podspec.AnnotationDefaultContainer]; name != "" {
		return []string{name}
	}
	// Another injector may have put its container before the one we chose a moment ago: the one that already has an ENV of the consumer stays the default.
	if names, ok := p.names.Lookup(w.consumer.String()); ok {
		for i := range spec.Containers {
			c := &spec.Containers[i]
			if _, own := w.own[c.Name]; !own && c.receives(names) {
				return []string{c.Name}
			}
		}
	}
	for i := range spec.Containers {
		if name := spec.Containers[i].Name; !slices.Contains(Sidecars, name) {
			return []string{name}
		}
	}
	p.deny(ReasonContainerMissing, "spec.containers", "the pod has no container but those of other injectors")
	return nil
}

// receives reports whether c has an injected ENV that the consumer has, or a volume of values, or fetches them.
func (c *container) receives(names *wire.ConsumerNames) bool {
	if len(names.Envs) > 0 && c.fetches() {
		return true
	}
	if volume := podspec.ValuesVolume(c.Name); len(names.Envs) > 0 && slices.ContainsFunc(c.VolumeMounts, func(m volumeMount) bool { return m.Name == volume }) {
		return true
	}
	return slices.ContainsFunc(c.Env, func(e envVar) bool {
		return e.fileRef() != nil && e.isOurs(c, "") && slices.ContainsFunc(names.Envs, func(n wire.EnvName) bool { return n.Name == e.Name })
	})
}

// find returns the container or init container called name. A missing one is a problem of the annotation that named it.
func (p *planner) find(name, field string) *target {
	var found *target
	p.pod.Spec.each(func(list string, index int, c *container) {
		if found == nil && c.Name == name && list != listEphemeral {
			found = &target{list: list, index: index, c: c, field: field}
		}
	})
	if found == nil {
		p.deny(ReasonContainerMissing, field, fmt.Sprintf("the pod has no container %q", clip(name)))
	}
	return found
}

// noNames are those of a container without a consumer.
var noNames wire.ConsumerNames

// checkConsumers looks every target's consumer and secrets up and checks that this pod may claim and refer to them.
func (p *planner) checkConsumers() {
	total := 0
	refused := make(map[string]struct{})
	for i := range p.targets {
		t := &p.targets[i]
		if t.consumer == (ref.Consumer{}) {
			t.names = &noNames
			p.checkGrants(t)
			total += len(t.envs)
			continue
		}
		text := t.consumer.String()
		names, ok := p.names.Lookup(text)
		if !ok || !bound(names, p.namespace, p.pod.Spec.serviceAccount()) {
			if _, told := refused[text]; !told {
				refused[text] = struct{}{}
				p.deny(ReasonNotBound, t.field, p.unbound(text, names))
			}
			continue
		}
		t.names, t.envs = names, names.Envs[:len(names.Envs):len(names.Envs)] // what is appended must not reach the others' copy
		p.checkGrants(t)
		total += len(t.envs)
	}
	switch {
	case p.denied():
	case total == 0 && len(p.targets) > 0: // nothing to give: most likely a mistake, and the guard would refuse a pod without the init agent
		t := &p.targets[0]
		p.deny(ReasonNoEnvs, t.field, fmt.Sprintf("consumer %q has no ENVs", t.consumer.String()))
	case total > wire.MaxEnvs:
		p.deny(ReasonTooMany, "spec.containers", fmt.Sprintf("the pod would receive %d ENVs; the limit is %d", total, wire.MaxEnvs))
	}
}

func bound(names *wire.ConsumerNames, namespace, account string) bool {
	return slices.Contains(names.Bindings, wire.Binding{Namespace: namespace, ServiceAccount: account})
}

// unbound words a refusal. Whoever can create pods in a namespace may know which service accounts of that same namespace are bound, and nothing else.
func (p *planner) unbound(consumer string, names *wire.ConsumerNames) string {
	text := fmt.Sprintf("consumer %q does not exist or is not bound to service account %s/%s", consumer, p.namespace, clip(p.pod.Spec.serviceAccount()))
	if names == nil {
		return text
	}
	var here []string
	for _, b := range names.Bindings {
		if b.Namespace == p.namespace {
			here = append(here, b.ServiceAccount)
		}
	}
	if len(here) == 0 {
		return text
	}
	slices.Sort(here)
	return fmt.Sprintf("consumer %q is not bound to service account %s/%s; in this namespace it is bound to %s", consumer, p.namespace, clip(p.pod.Spec.serviceAccount()), strings.Join(here[:min(len(here), maxProblems)], ", "))
}
