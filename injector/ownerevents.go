// SPDX-License-Identifier: Apache-2.0

package injector

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/internal/events"
)

// actionAdmit is what was tried, in the Events of admission.
const actionAdmit = "Admit"

// ownerEvents tells of pods that were not injected. There is no pod yet that could have the Event: it is of the object that controls it, or, of a pod that somebody creates
// alone, of its namespace.
type ownerEvents struct{ poster *events.Poster }

// Decided implements [admission.Events].
func (e ownerEvents) Decided(pod *mutate.Pod, namespace string, plan *mutate.Plan) {
	if note := plan.Told(); note != "" {
		e.poster.Report(events.News{Regarding: owner(pod, namespace), Reason: events.Reason(string(plan.Reason)), Action: actionAdmit, Note: note})
	}
}

func owner(pod *mutate.Pod, namespace string) corev1.ObjectReference {
	for _, o := range pod.Metadata.OwnerReferences {
		if o.Controller {
			return corev1.ObjectReference{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: namespace, Name: o.Name, UID: types.UID(o.UID)}
		}
	}
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Namespace: namespace, Name: namespace}
}
