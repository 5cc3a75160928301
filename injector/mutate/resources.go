// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	cpu    = "cpu"
	memory = "memory"
)

// resourcesFor returns the resources of our init container, such that the pod keeps its QoS class and its place under a ResourceQuota:
//
//   - a pod with pod-level resources gets none: they decide its class, and its containers share them;
//   - a BestEffort pod gets none. A quota that asked for some would have refused its other containers too;
//   - a Guaranteed pod gets limits and equal requests. Its CPU is that of the pod's own containers, if less than our limit, so that the scheduler sees no
//     larger pod: the requests of init containers are not added to, but compared with, those of the others;
//   - a Burstable pod gets requests and a memory limit, and a CPU limit only if all its containers have one, which a quota may ask for.
func (p *planner) resourcesFor() *resources {
	cpuRequest, memoryRequest := p.cfg.CPURequest, p.cfg.MemoryRequest
	if q := p.rule.Requests.CPU; q != nil {
		cpuRequest = *q
	}
	if q := p.rule.Requests.Memory; q != nil {
		memoryRequest = *q
	}
	spec := &p.pod.Spec
	if r := spec.Resources; r != nil && len(r.Limits)+len(r.Requests) > 0 {
		return nil
	}
	guaranteed, bestEffort, limited := true, true, true
	var sum resource.Quantity
	spec.each(func(list string, _ int, c *container) {
		if list == listEphemeral {
			return
		}
		r := c.Resources
		if r == nil {
			r = &resources{}
		}
		for _, name := range []string{cpu, memory} {
			limit, request := r.Limits[name], r.Requests[name]
			if request.IsZero() {
				request = limit // as the API server defaults it
			}
			bestEffort = bestEffort && limit.IsZero() && request.IsZero()
			guaranteed = guaranteed && !limit.IsZero() && limit.Cmp(request) == 0
		}
		limit := r.Limits[cpu]
		limited = limited && !limit.IsZero()
		if list == listContainers {
			sum.Add(limit)
		}
	})
	switch cfg := &p.cfg; {
	case bestEffort:
		return nil
	case guaranteed:
		c := cfg.CPULimit
		if sum.Cmp(c) < 0 {
			c = sum
		}
		if c.Cmp(cpuRequest) < 0 {
			c = cpuRequest
		}
		same := make(quantities)
		same.set(cpu, c)
		same.set(memory, atLeast(cfg.MemoryLimit, memoryRequest))
		return &resources{Limits: same, Requests: same}
	default:
		r := &resources{Limits: make(quantities), Requests: make(quantities)}
		r.Requests.set(cpu, cpuRequest)
		r.Requests.set(memory, memoryRequest)
		r.Limits.set(memory, atLeast(cfg.MemoryLimit, memoryRequest))
		if limited {
			r.Limits.set(cpu, atLeast(cfg.CPULimit, cpuRequest))
		}
		return r
	}
}

// atLeast returns a limit that a request does not exceed. A zero limit is none.
func atLeast(limit, request resource.Quantity) resource.Quantity {
	if !limit.IsZero() && limit.Cmp(request) < 0 {
		return request
	}
	return limit
}

func (q quantities) set(name string, value resource.Quantity) {
	if !value.IsZero() {
		q[name] = value
	}
}

// covers reports whether r has everything of w. It may have more: LimitRanger adds what its defaults name.
func (r *resources) covers(w *resources) bool {
	if w == nil {
		return true
	}
	if r == nil {
		r = &resources{}
	}
	return r.Limits.cover(w.Limits) && r.Requests.cover(w.Requests)
}

func (q quantities) cover(w quantities) bool {
	for name, value := range w {
		if have, ok := q[name]; !ok || have.Cmp(value) != 0 {
			return false
		}
	}
	return true
}
