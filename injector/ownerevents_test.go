// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/internal/events"
)

// posted keeps Events.
type posted []string

func (p *posted) Create(_ context.Context, e *eventsv1.Event) error {
	*p = append(*p, e.Regarding.Kind+" "+e.Regarding.Namespace+"/"+e.Regarding.Name+" "+e.Reason+" "+e.Action+": "+e.Note)
	return nil
}
func (p *posted) Patch(context.Context, string, string, []byte) error { return nil }

func TestTheOwnerOfAPodThatIsNotInjectedIsTold(t *testing.T) {
	denied := mutate.Plan{Decision: mutate.Denied, Reason: mutate.ReasonNoConsumer, Problems: []mutate.Problem{{Reason: mutate.ReasonNoConsumer, Field: "metadata", Detail: "no consumer"}}}
	for name, tc := range map[string]struct {
		pod  string
		plan mutate.Plan
		want posted
	}{
		"refused, of a ReplicaSet": {`{"metadata":{"ownerReferences":[{"kind":"Other","name":"x"},{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"rs","controller":true}]}}`, denied,
			posted{"ReplicaSet shop/web NoConsumer Admit: " + denied.Message()}},
		"refused, of nobody": {`{}`, denied, posted{"Namespace shop/shop NoConsumer Admit: " + denied.Message()}},
		"skipped": {`{}`, mutate.Plan{Decision: mutate.Skipped, Reason: mutate.ReasonMirrorPod},
			posted{"Namespace shop/shop MirrorPod Admit: not injected: The pod mirrors a static pod, which the kubelet has already started. [mirror_pod]"}},
		"injected": {`{}`, mutate.Plan{Decision: mutate.Injected, Reason: mutate.ReasonInjected}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got posted
				p := events.New(events.Config{API: &got, Controller: "lanyard.dev/injector"})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go p.Run(ctx)
				pod, err := mutate.ParsePod([]byte(tc.pod))
				if err != nil {
					t.Fatal(err)
				}
				ownerEvents{p}.Decided(pod, "shop", &tc.plan)
				synctest.Wait()
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}
