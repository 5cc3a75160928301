// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// FindVersion tells of a version what the store knows without opening it: what was true of the value when it was put.
func (w *world) FindVersion(orgID, id string, n uint64) (store.Version, error) {
	key := fmt.Sprintf("%s/%s@%d", orgID, id, n)
	if err := w.openErr[key]; errors.Is(err, store.ErrIntegrity) {
		return store.Version{}, err
	}
	value, ok := w.values[key]
	if !ok && w.openErr[key] == nil {
		return store.Version{}, store.ErrNotFound
	}
	v := store.Version{Number: n}
	if err := envfile.Check("X", []byte(value)); err != nil {
		_, v.NoEnvfile, _ = strings.Cut(err.Error(), envfile.ErrUnrepresentable.Error()+": ")
	}
	if err := execfile.Check("X", []byte(value)); err != nil {
		_, v.NoExec, _ = strings.Cut(err.Error(), execfile.ErrUnrepresentable.Error()+": ")
	}
	return v, nil
}

func (w *world) FindProvider(_, id string) (store.Provider, error) {
	if id != "p1" {
		return store.Provider{}, store.ErrNotFound
	}
	return store.Provider{Meta: store.Meta{ID: id}, Name: "vault-prod"}, nil
}

func (w *world) ConsumersOf(orgID string) iter.Seq[store.Consumer] {
	return func(yield func(store.Consumer) bool) {
		for _, name := range slices.Sorted(maps.Keys(w.consumers)) {
			if c := w.consumers[name]; c.OrgID == orgID && w.openErr[name] == nil && !yield(c) {
				return
			}
		}
	}
}

func (w *world) SecretsOf(orgID string) iter.Seq[store.Secret] {
	return func(yield func(store.Secret) bool) {
		for _, key := range slices.Sorted(maps.Keys(w.secrets)) {
			if s := w.secrets[key]; s.OrgID == orgID && w.openErr[key] == nil && !yield(s) {
				return
			}
		}
	}
}

// explainer takes paths with "outside" in them for outside of what the provider allows.
func (w *world) explainer() *resolve.Explainer {
	return &resolve.Explainer{
		Records:   func(context.Context) (resolve.Records, error) { return w, w.viewErr },
		Reference: func(_ store.Provider, found error, r store.Remote) error { return w.readable(found, r) },
	}
}

func (w *world) readable(found error, r store.Remote) error {
	switch {
	case found != nil:
		return &resolve.FetchError{Code: wire.CodeProviderNotFound, Message: "the organization has no such provider"}
	case strings.Contains(r.Path, "outside"):
		return &resolve.FetchError{Code: wire.CodeProviderDenied, Provider: "vault-prod", Message: "outside"}
	}
	return nil
}

var billing = store.Binding{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}

func explain(t *testing.T, w *world, containers ...wire.ContainerRequest) resolve.Explanation {
	t.Helper()
	got, refusal, err := w.explainer().Explain(t.Context(), resolve.Question{OrgID: "o1", Org: "shop", Subject: billing, Containers: containers})
	if refusal != nil || err != nil {
		t.Fatalf("refusal %v, error %v", refusal, err)
	}
	return got
}

// unknowable are the codes that no explanation has, and why.
var unknowable = map[wire.Code]string{
	wire.CodeInvalid: "of the question, which is refused itself", wire.CodeTooLarge: "of the question, which is refused itself",
	wire.CodeUnauthenticated: "of a token", wire.CodePodNotEligible: "of a live pod", wire.CodeNodeUnsupported: "of a live pod's node",
	wire.CodeOverloaded: "passes by itself", wire.CodeAuthUnavailable: "passes by itself", wire.CodeAuditUnavailable: "an explanation is not audited",
	wire.CodeStoreUnavailable: "there is no explanation then", wire.CodeInternal: "there is no explanation then",
	wire.CodeKeyUnavailable:    "only opening a value tells",
	wire.CodeProviderThrottled: "only the provider tells",
}

func TestAnExplanationAgreesWithTheStartOnEveryReason(t *testing.T) {
	seen := map[wire.Code]bool{}
	container := func(consumer string, delivery wire.Delivery, envs ...string) wire.ContainerRequest {
		return wire.ContainerRequest{Name: "app", Consumer: consumer, Delivery: delivery, Envs: envs}
	}
	for name, tc := range map[string]struct {
		container wire.ContainerRequest
		change    func(*world)
	}{
		"everything is there":             {container("shop/web", wire.DeliveryEnvfile, "PLAIN", "STRIPE", "OLD", "VAULT2"), nil},
		"values that cannot be carried":   {container("shop/web", wire.DeliveryEnvfile, "EMPTY", "QUOTE", "STRIPE"), nil},
		"values another delivery carries": {container("shop/web", wire.DeliveryExec, "EMPTY", "QUOTE"), nil},
		"an ENV that is gone":             {container("shop/web", wire.DeliveryExec, "NOSUCH"), nil},
		"a secret that is gone":           {container("shop/web", wire.DeliveryExec, "DELETED", "FOREIGN"), nil},
		"no version":                      {container("shop/web", wire.DeliveryExec, "STAGED", "DESTROYED"), nil},
		"records that do not verify":      {container("shop/web", wire.DeliveryExec, "CORRUPT", "TAMPERED"), nil},
		"a version of a remote secret":    {container("shop/web", wire.DeliveryExec, "VAULT_PINNED"), nil},
		"no providers at all":             {container("shop/web", wire.DeliveryExec, "VAULT"), func(w *world) { w.fetch = nil }},
		"a path outside":                  {container("shop/web", wire.DeliveryExec, "VAULT"), func(w *world) { w.remote("o1/r1", store.Remote{ProviderID: "p1", Path: "outside"}) }},
		"a provider that is gone":         {container("shop/web", wire.DeliveryExec, "VAULT"), func(w *world) { w.remote("o1/r1", store.Remote{ProviderID: "p2", Path: "r1"}) }},
		"no binding":                      {container("shop/unbound", wire.DeliveryExec, "A"), nil},
		"a binding of another account":    {container("shop/account", wire.DeliveryExec, "A"), nil},
		"no consumer":                     {container("shop/nothing", wire.DeliveryExec, "A"), nil},
		"a consumer that does not verify": {container("shop/tampered", wire.DeliveryExec, "A"), nil},
		"a delivery that is not allowed":  {container("shop/web", wire.DeliveryExec, "STAGED"), func(w *world) { w.deliveries("shop/web", wire.DeliveryFile) }},
		"a grant":                         {refer("lanyard://shop/stripe"), func(w *world) { w.grant("o1/s1", billing) }},
		"a grant and no version":          {refer("lanyard://shop/staged"), func(w *world) { w.grant("o1/s2", billing) }},
		"no grant":                        {refer("lanyard://shop/stripe"), nil},
		"no secret":                       {refer("lanyard://shop/nothing"), nil},
		"a grant that does not verify":    {refer("lanyard://shop/tampered"), func(w *world) { w.grant("o1/s6", billing) }},
		"no grant and a forbidden consumer": {wire.ContainerRequest{Name: "app", Consumer: "shop/unbound", Delivery: wire.DeliveryExec, Envs: []string{"A"},
			Inline: []wire.InlineEnv{{Name: "B", Secret: "lanyard://shop/stripe"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fetch = func(_ context.Context, _ string, r store.Remote) (redact.Value, error) {
				var found error
				if r.ProviderID != "p1" {
					found = store.ErrNotFound
				}
				if err := w.readable(found, r); err != nil {
					return redact.Value{}, err
				}
				return w.hand(canary), nil
			}
			if tc.change != nil {
				tc.change(w)
			}
			tc.container.Name = "app"
			_, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, tc.container))
			w.opened = nil
			e := w.explainer()
			if w.fetch == nil {
				e.Reference = nil
			}
			got, _, err := e.Explain(t.Context(), resolve.Question{OrgID: "o1", Org: "shop", Subject: billing, Containers: []wire.ContainerRequest{tc.container}})
			if err != nil {
				t.Fatal(err)
			}
			var want *wire.Problem
			if refusal != nil {
				want = &refusal.Problem
				seen[want.Code] = true
				for _, it := range want.Items {
					seen[it.Code] = true
				}
			}
			if diff := cmp.Diff(want, got.Refusal, cmpopts.IgnoreFields(wire.Problem{}, "RequestID")); diff != "" {
				t.Errorf("the start is told, and the explanation says (-start +explanation):\n%s", diff)
			}
			if len(w.opened) != 0 {
				t.Error("it opened a value")
			}
		})
	}
	for _, info := range wire.Codes {
		if seen[info.Code] == (unknowable[info.Code] != "") {
			t.Errorf("%s: explained %t, and said to be unknowable because %q", info.Code, seen[info.Code], unknowable[info.Code])
		}
	}
}

func (w *world) remote(key string, r store.Remote) {
	s := w.secrets[key]
	s.Remote = &r
	w.secrets[key] = s
}

func (w *world) deliveries(key string, d ...wire.Delivery) {
	c := w.consumers[key]
	c.Deliveries = d
	w.consumers[key] = c
}

func TestAnExplanationTellsWhereEachEnvComesFrom(t *testing.T) {
	w := newWorld()
	w.grant("o1/s3", billing)
	got := explain(t, w, wire.ContainerRequest{
		Name: "app", Consumer: "shop/web", Envs: []string{"PLAIN", "STRIPE", "OLD", "VAULT", "STAGED"}, Inline: []wire.InlineEnv{{Name: "OWN", Secret: "lanyard://shop/quote"}, {Name: "THEIRS", Secret: "lanyard://shop/corrupt"}},
	})
	c := got.Containers[0]
	if c.Name != "app" || c.Consumer.String() != "shop/web" || c.Binding == nil || *c.Binding != billing || c.Code != "" {
		t.Errorf("container %+v", c)
	}
	want := []resolve.ExplainedItem{
		{Env: "PLAIN"},
		{Env: "STRIPE", Storage: store.StorageLocal, Secret: "stripe", Version: 3},
		{Env: "OLD", Storage: store.StorageLocal, Secret: "stripe", Version: 1, Pinned: true},
		{Env: "VAULT", Storage: store.StorageRemote, Secret: "vault-one", Provider: "vault-prod"},
		{Env: "STAGED", Storage: store.StorageLocal, Secret: "staged", Code: wire.CodeVersionMissing, Message: "the secret has no active version"},
		{Env: "OWN", Inline: true, Grant: &billing, Storage: store.StorageLocal, Secret: "quote", Version: 1},
		{Env: "THEIRS", Inline: true, Storage: store.StorageLocal, Secret: "corrupt", Code: wire.CodeNotGranted, Message: "secret shop/corrupt has no grant for service account api of namespace billing, cluster main"},
	}
	if diff := cmp.Diff(want, c.Items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if len(w.opened)+len(w.events)+len(w.denied) != 0 {
		t.Error("it opened a value or recorded something")
	}
}

func TestAQuestionWithoutContainersIsAboutEverythingTheSubjectMayHave(t *testing.T) {
	w := newWorld()
	w.grant("o1/s1", billing)
	w.grant("o1/s2", store.Binding{Cluster: "main", Namespace: "billing", ServiceAccount: "worker"})
	got := explain(t, w)
	var consumers, granted []string
	for _, c := range got.Containers {
		consumers = append(consumers, fmt.Sprintf("%s %d", c.Consumer, len(c.Items)))
	}
	for _, it := range got.Granted {
		granted = append(granted, fmt.Sprintf("%s@%d %s", it.Secret, it.Version, it.Code))
	}
	if diff := cmp.Diff([]string{"shop/web 15"}, consumers); diff != "" {
		t.Errorf("consumers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"stripe@3 "}, granted); diff != "" {
		t.Errorf("granted (-want +got):\n%s", diff)
	}
	if got.More {
		t.Error("there is more")
	}
}

func TestARefusalNamesTheBindingThatNearlyFits(t *testing.T) {
	for consumer, want := range map[string]string{
		"shop/account":  "; it has one of service account worker of namespace billing, cluster main",
		"shop/cluster":  "; it has one of service account api of namespace billing, cluster edge",
		"shop/wildcard": "cluster main",
		"shop/nothing":  "does not verify",
	} {
		c := explain(t, newWorld(), wire.ContainerRequest{Name: "app", Consumer: consumer}).Containers[0]
		if c.Code != wire.CodeNotBound || c.Binding != nil || !strings.HasSuffix(c.Message, want) {
			t.Errorf("%s: %s: %s", consumer, c.Code, c.Message)
		}
	}
}

func TestAQuestionStaysWithinItsOrganizationAndTheLimits(t *testing.T) {
	for name, c := range map[string]wire.ContainerRequest{
		"another organization's consumer": {Name: "app", Consumer: "other/theirs"},
		"another organization's secret":   {Name: "app", Inline: []wire.InlineEnv{{Name: "A", Secret: "lanyard://other/theirs"}}},
		"no delivery of ours":             {Name: "app", Consumer: "shop/web", Delivery: "carrier-pigeon"},
		"no container":                    {Consumer: "shop/web"},
	} {
		_, refusal, err := newWorld().explainer().Explain(t.Context(), resolve.Question{OrgID: "o1", Org: "shop", Subject: billing, Containers: []wire.ContainerRequest{c}})
		if err != nil || refusal == nil || refusal.Problem.Code != wire.CodeInvalid {
			t.Errorf("%s: refusal %v, error %v", name, refusal, err)
		}
	}
}

func TestAStoreThatCannotBeReadExplainsNothing(t *testing.T) {
	w := newWorld()
	w.viewErr = store.ErrUnavailable
	if _, _, err := w.explainer().Explain(t.Context(), resolve.Question{OrgID: "o1", Org: "shop", Subject: billing}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
}
