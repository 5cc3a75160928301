// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/internal/events"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
)

// What a pod wanted, as its Events say it.
const (
	actionResolve = "Resolve"
	actionRefresh = "Refresh"
)

// PodEvents tells of starts that got no values, in Events of the pod and of its controller. It never delays whoever reports: the pod's controller is looked up when the Event's turn has
// come, by the pod's uid, so that the Event of a pod that is gone by then is not posted.
type PodEvents struct {
	Poster *events.Poster
}

// Refused tells of a pod whose request was refused. The problem is what the pod was told.
func (e PodEvents) Refused(p authn.Principal, problem wire.Problem, refresh bool) {
	action := actionResolve
	if refresh {
		action = actionRefresh
	}
	e.Poster.Report(events.News{Regarding: events.Pod(p.Namespace, p.Pod, p.PodUID), Reason: events.Reason(string(problem.Code)), Action: action, Note: problem.Sentence()})
}

// WithController returns what [events.Config] wants to know of a pod: the news of the pod, and the same of the object that controls it.
func WithController(pods Pods) func(context.Context, events.News) []events.News {
	return func(ctx context.Context, n events.News) []events.News {
		pod, err := pods.Pod(ctx, n.Regarding.Namespace, n.Regarding.Name)
		if err != nil || pod.UID != n.Regarding.UID {
			return nil
		}
		all := []events.News{n}
		if controller := events.Controller(pod.Namespace, pod.OwnerReferences); controller != nil {
			of := n
			of.Regarding, of.Related = *controller, related(n.Regarding)
			all = append(all, of)
		}
		return all
	}
}

func related(r corev1.ObjectReference) *corev1.ObjectReference { return &r }
