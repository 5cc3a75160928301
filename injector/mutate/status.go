// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// StatusVersion is the value of [Status.V].
const StatusVersion = 1

// Status is the JSON of the status annotation: what was decided, for people and their tools. It is never read as input.
type Status struct {
	V          int               `json:"v"`
	Reason     Reason            `json:"reason"`
	Containers []ContainerStatus `json:"containers"`
}

// ContainerStatus tells what one container receives.
type ContainerStatus struct {
	Name     string `json:"name"`
	Consumer string `json:"consumer,omitempty"` // empty if the container only refers to secrets itself
	Envs     int    `json:"envs"`
	Inline   int    `json:"inline,omitempty"` // how many of the ENVs are references of the container itself
	// Delivery is how they reach it, and Why it is that one: "annotation", "policy", or "auto", with what speaks against envfile if it is another. Both are empty without ENVs.
	Delivery wire.Delivery `json:"delivery,omitempty"`
	Why      string        `json:"why,omitempty"`
	// Refresh is how often the sidecar looks for other values; empty if it does not.
	Refresh string `json:"refresh,omitempty"`
}

func (p *planner) status(reason Reason) string {
	s := Status{V: StatusVersion, Reason: reason, Containers: make([]ContainerStatus, len(p.targets))}
	for i := range p.targets {
		t := &p.targets[i]
		s.Containers[i] = ContainerStatus{Name: t.c.Name, Consumer: t.consumerText(), Envs: len(t.envs), Inline: len(t.inline), Delivery: t.delivery, Why: t.why}
		if p.isRefreshed(t) {
			s.Containers[i].Refresh = p.wish.refresh.interval.String()
		}
	}
	return string(encode(s))
}

// consumerText is the consumer of t as annotations write it, empty if there is none.
func (t *target) consumerText() string {
	if t.consumer == (ref.Consumer{}) {
		return ""
	}
	return t.consumer.String()
}
