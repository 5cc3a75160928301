// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Asked returns what the containers of a pod that was injected ask the registry for: what the agents in it were told. It is the pod's own word.
func (pod *Pod) Asked() (asked []wire.ContainerRequest) {
	for _, request := range pod.requests() {
		asked = append(asked, request.Containers...)
	}
	return asked
}

// ProviderAudiences returns, of a pod that was injected, the audiences of the tokens for providers that go along when each container's values are asked for: those that its agent was told of and the pod has.
func (pod *Pod) ProviderAudiences() map[string][]string { // :: container → audiences
	var has []string
	for _, v := range pod.Spec.Volumes {
		if v.Name != podspec.VolumeToken || v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken != nil {
				has = append(has, source.ServiceAccountToken.Audience)
			}
		}
	}
	sent := make(map[string][]string)
	for _, request := range pod.requests() {
		for _, c := range request.Containers {
			for _, t := range request.ProviderTokens {
				if slices.Contains(has, t.Audience) {
					sent[c.Name] = append(sent[c.Name], t.Audience)
				}
			}
		}
	}
	return sent
}

// requests are what the agents of the pod were told to ask.
func (pod *Pod) requests() (requests []wire.ResolveRequest) {
	read := func(c *container) {
		for _, e := range c.Env {
			var request wire.ResolveRequest
			if e.Name == podspec.EnvRequest && len(e.Value) <= wire.MaxNamesBytes && json.Unmarshal([]byte(e.Value), &request) == nil {
				requests = append(requests, request)
			}
		}
	}
	for _, name := range []string{podspec.ContainerInit, podspec.ContainerSidecar} {
		if index := pod.Spec.ours(name); index >= 0 {
			read(&pod.Spec.InitContainers[index])
		}
	}
	pod.Spec.each(func(_ string, _ int, c *container) { read(c) })
	return requests
}

// Asks returns what the containers of a pod that is created in namespace would ask the registry for. Of one that is refused it is what was chosen until then: without ENVs where the
// consumer may not be claimed, without a delivery where none was chosen, and nothing if not even the containers could be chosen. It is for explanations; admission has no use for it.
func (m *Mutator) Asks(pod *Pod, namespace string, names Names) []wire.ContainerRequest {
	p := &planner{Mutator: m, pod: pod, namespace: namespace, names: names, rule: m.cfg.Policy.rule(namespace)}
	p.decide()
	asks := make([]wire.ContainerRequest, 0, len(p.targets))
	for i := range p.targets {
		t := &p.targets[i]
		if t.names == nil {
			t.names = &noNames
		}
		asks = append(asks, t.request())
	}
	return asks
}
