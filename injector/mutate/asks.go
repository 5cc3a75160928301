// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Asked returns what the containers of a pod that was injected ask the registry for: what the agents in it were told. It is the pod's own word.
func (pod *Pod) Asked() []wire.ContainerRequest {
	var asked []wire.ContainerRequest
	read := func(c *container) {
		for _, e := range c.Env {
			var request wire.ResolveRequest
			if e.Name == podspec.EnvRequest && len(e.Value) <= wire.MaxNamesBytes && json.Unmarshal([]byte(e.Value), &request) == nil {
				asked = append(asked, request.Containers...)
			}
		}
	}
	for _, name := range []string{podspec.ContainerInit, podspec.ContainerSidecar} {
		if index := pod.Spec.ours(name); index >= 0 {
			read(&pod.Spec.InitContainers[index])
		}
	}
	pod.Spec.each(func(_ string, _ int, c *container) { read(c) })
	return asked
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
