// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// NetworkSidecars are the native sidecars of service meshes, without which a pod whose traffic is redirected has no network: where a CNI plugin redirects, that
// is from the first init container on.
var NetworkSidecars = []string{
	"consul-dataplane", // Consul
	"istio-proxy",      // Istio
	"kuma-sidecar",     // Kuma
	"linkerd-proxy",    // Linkerd
}

// place is where our init containers go, counted in init containers that are not ours.
type place struct {
	after int // as many come before
	exact bool
}

// choosePlace decides the place, from the annotation or, without it, from what is known of other injectors.
func (p *planner) choosePlace() {
	others := p.others()
	earliest := len(others) // how many may come before: those in front of the first that receives values
	for i := range p.targets {
		if t := &p.targets[i]; t.list == listInit && t.needsAgent() {
			earliest = min(earliest, slices.IndexFunc(others, func(c *container) bool { return c == t.c }))
		}
	}
	field := annotationField(podspec.AnnotationOrder)
	switch order := p.wish.order; {
	case order == "":
		for i, c := range others {
			if c.RestartPolicy == "Always" && slices.Contains(NetworkSidecars, c.Name) {
				p.place.after = i + 1
			}
		}
		p.place.after = min(p.place.after, earliest)
		return
	case order == podspec.OrderFirst:
	case order == podspec.OrderLast:
		p.place.after = len(others)
	default: // readOrder let nothing else through
		name := strings.TrimPrefix(order, podspec.OrderAfter)
		p.place.after = 1 + slices.IndexFunc(others, func(c *container) bool { return c.Name == name })
		if p.place.after == 0 {
			p.deny(ReasonOrderInvalid, field, fmt.Sprintf("the pod has no init container %q", clip(name)))
			return
		}
	}
	p.place.exact = true
	if p.place.after > earliest {
		p.deny(ReasonOrderInvalid, field, fmt.Sprintf("init container %q receives values and would run before the init agent", clip(others[earliest].Name)))
	}
}

// readOrder checks the value of the annotation.
func (p *planner) readOrder(value string) string {
	name, after := strings.CutPrefix(value, podspec.OrderAfter)
	switch {
	case value == podspec.OrderFirst, value == podspec.OrderLast:
	case after && name != "" && !slices.Contains(ownNames, name):
	default:
		p.deny(ReasonOrderInvalid, annotationField(podspec.AnnotationOrder), fmt.Sprintf("%q is no place", clip(value)))
	}
	return value
}

// others are the init containers that are not ours.
func (p *planner) others() []*container {
	var others []*container
	p.pod.Spec.each(func(list string, _ int, c *container) {
		if list == listInit {
			others = append(others, c)
		}
	})
	return others
}

// changeInit puts our init containers in their place. Where they are already there, in order, they stay where they are. Without the annotation any place is right
// in which the network is there and every init container that needs them comes later: other injectors put their own first, too.
func (p *planner) changeInit() {
	const path = "/spec/initContainers"
	have, want := p.pod.Spec.InitContainers, p.own()
	var ours []int // where ours are now, ascending
	for i := range have {
		if slices.Contains(ownNames, have[i].Name) {
			ours = append(ours, i)
		}
	}
	if p.inPlace(ours, want) {
		for i, index := range ours {
			if !have[index].is(want[i]) {
				p.patch.replace(at(path, index), want[i])
			}
		}
		return
	}
	p.removeAll(path, ours)
	if len(have) == 0 {
		p.patch.add(path, want)
		return
	}
	for _, c := range slices.Backward(want) {
		p.patch.add(at(path, p.place.after), c)
	}
}

// inPlace reports whether the containers at the indices are those wanted, in their order and in their place.
func (p *planner) inPlace(indices []int, want []*container) bool {
	if len(indices) != len(want) {
		return false
	}
	for i, index := range indices {
		before := index - i // others in front of it
		switch {
		case p.pod.Spec.InitContainers[index].Name != want[i].Name:
			return false
		case p.place.exact && before != p.place.after, before < p.place.after, p.neededBefore(index):
			return false
		}
	}
	return true
}

// neededBefore reports whether an init container that receives values from the init agent comes before index.
func (p *planner) neededBefore(index int) bool {
	return slices.ContainsFunc(p.targets, func(t target) bool { return t.list == listInit && t.index < index && t.needsAgent() })
}

// needsAgent reports whether t receives values from the init agent.
func (t *target) needsAgent() bool { return len(t.envs) > 0 && t.delivery != wire.DeliveryDirect }
