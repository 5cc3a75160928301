// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestTheAnswerAndTheAuditRecordSayWhatIsNotFresh(t *testing.T) {
	w := newWorld()
	w.lastGood = time.Date(2026, 11, 30, 4, 0, 0, 0, time.UTC)
	w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return w.hand(canary), nil }
	answer, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"STRIPE", "VAULT"}}))
	if refusal != nil {
		t.Fatal(refusal)
	}
	if envs := answer.Containers[0].Envs; !envs[0].LastKnownGood.IsZero() || !envs[1].LastKnownGood.Equal(w.lastGood) {
		t.Errorf("answered %v and %v", envs[0].LastKnownGood, envs[1].LastKnownGood)
	}
	released := w.events[0].Workload.Released
	if released[0].LastKnownGood || !released[0].FetchedAt.IsZero() || !released[1].LastKnownGood || !released[1].FetchedAt.Equal(w.lastGood) {
		t.Errorf("released %+v", released)
	}
}

// A pod that has values has seen the provider at least as recently as anything that was kept.
func TestALookAtChangedValuesWantsFreshOnes(t *testing.T) {
	w := newWorld()
	w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return w.hand(canary), nil }
	var fresh []bool
	config := resolve.Config{
		View: func(context.Context) (resolve.View, error) { return w, nil }, Audit: w, Denied: denier{w}, MarkKey: func() [32]byte { return [32]byte{1} },
		Fetch: func(c resolve.Call) resolve.Fetcher { fresh = append(fresh, c.Fresh); return w },
	}
	r, err := resolve.New(config)
	if err != nil {
		t.Fatal(err)
	}
	request := wire.ResolveRequest{Protocol: wire.Protocol, Containers: []wire.ContainerRequest{{Name: "app", Delivery: wire.DeliveryFile, Consumer: "shop/web", Envs: []string{"VAULT"}}}}
	for _, mark := range []string{"", "of-other-values", wire.UnknownMark} {
		request.Mark = mark
		asked, refusal := resolve.Parse(request)
		if refusal != nil {
			t.Fatal(refusal)
		}
		if _, refusal := r.Resolve(t.Context(), caller, asked); refusal != nil {
			t.Fatal(refusal)
		}
	}
	if !slices.Equal(fresh, []bool{false, true, true}) {
		t.Errorf("fresh = %v", fresh)
	}
}
