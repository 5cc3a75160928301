// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// grant gives a secret of the world grants.
func (w *world) grant(key string, grants ...store.Binding) {
	s := w.secrets[key]
	s.Grants = grants
	w.secrets[key] = s
}

var callers = store.Binding{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}

// refer is a container that refers to secrets, each under the name SECRET<n>.
func refer(secrets ...string) wire.ContainerRequest {
	c := wire.ContainerRequest{Delivery: wire.DeliveryFile}
	for i, s := range secrets {
		c.Inline = append(c.Inline, wire.InlineEnv{Name: fmt.Sprint("SECRET", i), Secret: s})
	}
	return c
}

func TestAPodReceivesWhatItRefersToInline(t *testing.T) {
	w := newWorld()
	w.grant("o1/s1", store.Binding{Cluster: "edge", Namespace: "billing", ServiceAccount: "api"}, callers)
	w.grant("o2/t1", callers)
	mixed := refer("lanyard://shop/stripe", "lanyard://other/theirs")
	mixed.Consumer, mixed.Envs = "shop/web", []string{"PLAIN", "STRIPE"}
	got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, mixed, refer("lanyard://shop/stripe#1")))
	if refusal != nil {
		t.Fatal(refusal)
	}
	want := map[string]string{
		"c0.PLAIN": "info (@0)", "c0.STRIPE": canary + " (stripe@3)", "c0.SECRET0": canary + " (stripe@3)", "c0.SECRET1": canary + "-theirs (theirs@1)",
		"c1.SECRET0": canary + "-old (stripe@1)",
	}
	if diff := cmp.Diff(want, values(got)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if names := got.Containers[0].Envs; names[0].Name != "PLAIN" || names[3].Name != "SECRET1" {
		t.Error("the order of the ENVs was lost")
	}
	if len(w.opened) != 3 {
		t.Errorf("%d values were opened, want each version once", len(w.opened))
	}
	released := map[string][]audit.Grant{}
	for _, e := range w.events {
		released[e.OrgID] = e.Workload.Released
	}
	if diff := cmp.Diff(map[string][]audit.Grant{
		"o1": {
			{Container: "c0", Consumer: "shop/web", ConsumerID: "c1", Env: "PLAIN"},
			{Container: "c0", Consumer: "shop/web", ConsumerID: "c1", Env: "STRIPE", Secret: "stripe", SecretID: "s1", Version: 3},
			{Container: "c0", Env: "SECRET0", Secret: "stripe", SecretID: "s1", Version: 3},
			{Container: "c1", Env: "SECRET0", Secret: "stripe", SecretID: "s1", Version: 1, Pinned: true},
		},
		"o2": {{Container: "c0", Env: "SECRET1", Secret: "theirs", SecretID: "t1", Version: 1}},
	}, released); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

func TestASecretWithoutAGrantForThePodIsRefused(t *testing.T) {
	for name, grants := range map[string][]store.Binding{
		"no grant":                 nil,
		"another account":          {{Cluster: "main", Namespace: "billing", ServiceAccount: "worker"}},
		"another namespace":        {{Cluster: "main", Namespace: "shop", ServiceAccount: "api"}},
		"another cluster":          {{Cluster: "edge", Namespace: "billing", ServiceAccount: "api"}},
		"another case":             {{Cluster: "main", Namespace: "billing", ServiceAccount: "API"}},
		"a pattern":                {{Cluster: "*", Namespace: "*", ServiceAccount: "*"}},
		"nothing":                  {{}},
		"the pair, cut elsewhere":  {{Cluster: "main", Namespace: "bill", ServiceAccount: "ing/api"}},
		"the pair, written as one": {{Cluster: "main", Namespace: "billing/api", ServiceAccount: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.grant("o1/s1", grants...)
			w.grant("o1/s3", callers) // one that is granted does not help the others
			got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, refer("lanyard://shop/quote", "lanyard://shop/stripe", "lanyard://shop/none", "lanyard://nowhere/none")))
			if got != nil || refusal == nil || refusal.Problem.Code != wire.CodeNotGranted {
				t.Fatalf("got %v, %+v", got, refusal)
			}
			if want := "may not refer to shop/stripe, shop/none, nowhere/none: no such secret, or no grant"; !strings.Contains(refusal.Problem.Message, want) {
				t.Errorf("message %q lacks %q", refusal.Problem.Message, want)
			}
			if len(w.opened) != 0 || len(w.events) != 0 {
				t.Error("something was opened or recorded as released")
			}
			var told []string
			for _, e := range w.denied {
				told = append(told, fmt.Sprint(e.OrgID, " ", e.ResourceKind, " ", e.ResourceID, " ", e.ResourceName, " ", e.Reason))
			}
			if diff := cmp.Diff([]string{"o1 secret s1 shop/stripe not_granted", " secret  shop/none not_granted", " secret  nowhere/none not_granted"}, told); diff != "" {
				t.Errorf("denials (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAGrantOnASecretBindsNoConsumerAndTheOtherWayRound(t *testing.T) {
	w := newWorld()
	w.grant("o1/s1", callers)
	if _, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/unbound", Envs: []string{"A"}}, refer("lanyard://shop/stripe"))); refusal == nil || refusal.Problem.Code != wire.CodeNotBound {
		t.Errorf("a grant claimed a consumer: %+v", refusal)
	}
	w.grant("o1/s1")
	if _, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"STRIPE"}}, refer("lanyard://shop/stripe"))); refusal == nil || refusal.Problem.Code != wire.CodeNotGranted {
		t.Errorf("a binding granted a secret: %+v", refusal)
	}
}

func TestAnInlineReferenceThatHasNoValueIsToldByName(t *testing.T) {
	for name, tc := range map[string]struct {
		key, secret string
		want        wire.Code
	}{
		"no active version":        {"o1/s2", "lanyard://shop/staged", wire.CodeVersionMissing},
		"no such version":          {"o1/s1", "lanyard://shop/stripe#9", wire.CodeVersionMissing},
		"a corrupt value":          {"o1/s4", "lanyard://shop/corrupt", wire.CodeIntegrity},
		"a version of a remote":    {"o1/r1", "lanyard://shop/vault-one#2", wire.CodeProviderUnavailable},
		"no providers in registry": {"o1/r1", "lanyard://shop/vault-one", wire.CodeProviderUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.grant(tc.key, callers)
			_, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, refer(tc.secret)))
			if refusal == nil || len(refusal.Problem.Items) != 1 {
				t.Fatalf("refusal = %+v", refusal)
			}
			if item := refusal.Problem.Items[0]; item.Code != tc.want || item.Env != "SECRET0" || item.Container != "c0" || item.Secret != w.secrets[tc.key].Name {
				t.Errorf("item = %+v, want %s", item, tc.want)
			}
			if len(w.denied) != 1 || w.denied[0].OrgID != "o1" || w.denied[0].Reason != string(wire.CodeUnresolved) {
				t.Errorf("denials = %+v", w.denied)
			}
		})
	}
}

func TestAGrantOfARecordThatDoesNotVerifyIsNone(t *testing.T) {
	w := newWorld()
	w.grant("o1/s6", callers)
	_, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, refer("lanyard://shop/tampered")))
	if refusal == nil || refusal.Problem.Code != wire.CodeNotGranted || !errors.Is(refusal, store.ErrIntegrity) {
		t.Errorf("refusal = %+v", refusal)
	}
}
