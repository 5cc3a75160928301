// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/internal/events"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

type lookup struct{ pod *corev1.Pod }

func (o lookup) Pod(context.Context, string, string) (*corev1.Pod, error) {
	if o.pod == nil {
		return nil, errors.New("not found")
	}
	return o.pod, nil
}

func TestAnEventIsOfThePodAndOfWhatControlsIt(t *testing.T) {
	controlled := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "u1", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "rs", Controller: new(true)},
	}}}
	alone := controlled.DeepCopy()
	alone.OwnerReferences = nil
	replaced := controlled.DeepCopy()
	replaced.UID = "u2"
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want []string
	}{
		"a pod of a ReplicaSet":      {controlled, []string{"Pod shop/web-1 u1", "ReplicaSet shop/web rs"}},
		"a pod nobody controls":      {alone, []string{"Pod shop/web-1 u1"}},
		"a pod that was replaced":    {replaced, nil},
		"a pod that cannot be found": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range workload.WithController(lookup{tc.pod})(t.Context(), events.News{Regarding: events.Pod("shop", "web-1", "u1"), Reason: "NotBound", Note: "note"}) {
				got = append(got, n.Regarding.Kind+" "+n.Regarding.Namespace+"/"+n.Regarding.Name+" "+string(n.Regarding.UID))
				if n.Reason != "NotBound" || n.Note != "note" {
					t.Errorf("news %+v", n)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
