// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestWhatBecameOfTheValuesEndsTheFetches(t *testing.T) {
	for name, c := range map[string]struct {
		envs    []string
		arrange func(*world)
		settle  func(*resolve.Receipt)
		want    []bool
	}{
		"delivered":                        {[]string{"VAULT", "VAULT2"}, nil, func(r *resolve.Receipt) { r.Settle(true); r.Settle(false) }, []bool{true}},
		"the connection broke":             {[]string{"VAULT"}, nil, func(r *resolve.Receipt) { r.Settle(false) }, []bool{false}},
		"nobody says":                      {[]string{"VAULT"}, nil, nil, []bool{true}},
		"another ENV is missing":           {[]string{"VAULT", "NOSUCH"}, nil, func(r *resolve.Receipt) { r.Settle(true) }, []bool{false}},
		"the audit log did not accept":     {[]string{"VAULT"}, func(w *world) { w.auditErr = errors.New("full") }, func(r *resolve.Receipt) { r.Settle(true) }, []bool{false}},
		"a key is missing after the fetch": {[]string{"VAULT", "KEYLESS"}, nil, func(r *resolve.Receipt) { r.Settle(true) }, nil},
		"nothing was fetched":              {[]string{"STRIPE"}, nil, func(r *resolve.Receipt) { r.Settle(true) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.leased = true
			w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return w.hand(canary), nil }
			if c.arrange != nil {
				c.arrange(w)
			}
			call := caller
			if c.settle != nil {
				call.Receipt = new(resolve.Receipt)
			}
			_, _ = w.resolver(t).Resolve(t.Context(), call, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: c.envs}))
			if c.settle != nil {
				c.settle(call.Receipt)
			}
			if !slices.Equal(w.ended, c.want) {
				t.Errorf("the fetches ended with delivered = %v, want %v", w.ended, c.want)
			}
		})
	}
}

func TestACheckGivesBackWhatWasMadeForIt(t *testing.T) {
	w := newWorld()
	w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return w.hand(canary), nil }
	if out, err := w.resolver(t).Check(t.Context(), "o1", "r1"); err != nil || out.Code != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	if !slices.Equal(w.ended, []bool{false}) {
		t.Errorf("the fetches ended with delivered = %v", w.ended)
	}
}

func TestALookAtUnchangedValuesKeepsWhatIsLeased(t *testing.T) {
	r := newRefreshing()
	r.leased = true
	first, refusal := r.resolve(t, "")
	if refusal != nil {
		t.Fatal(refusal)
	}
	r.vault = "of another lease"
	again, refusal := r.resolve(t, first.Mark)
	if refusal != nil || !again.Unchanged {
		t.Fatalf("%+v, %v", again, refusal)
	}
	if !slices.Equal(r.ended, []bool{true, false}) {
		t.Errorf("the fetches ended with delivered = %v: what the look made must be given back", r.ended)
	}
}

func TestTheAuditRecordSaysWhatIsLeased(t *testing.T) {
	w := newWorld()
	w.leased = true
	w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return w.hand(canary), nil }
	if _, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"STRIPE", "VAULT"}})); refusal != nil {
		t.Fatal(refusal)
	}
	released := w.events[0].Workload.Released
	if len(released) != 2 || released[0].Leased || !released[1].Leased {
		t.Errorf("released: %+v", released)
	}
}
