// SPDX-License-Identifier: Apache-2.0

package vaultprovider

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// life is what Vault grants a lease. It is renewed at its half, which leaves a loaded machine half a minute.
const life = time.Minute

// leases lists the leases Vault itself knows of a path.
func (s *server) leases(t *testing.T, path string) []string {
	t.Helper()
	status, body := s.call(t, "LIST", "sys/leases/lookup/"+path+"/", "")
	if status == http.StatusNotFound {
		return nil
	}
	var answer struct {
		Data struct{ Keys []string } `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("listing leases: %d, %v", status, err)
	}
	return answer.Data.Keys
}

// look tells whether Vault knows a lease, and whether it was ever renewed.
func (s *server) look(t *testing.T, path, id string) (known, renewed bool) {
	t.Helper()
	status, body := s.call(t, "PUT", "sys/leases/lookup", fmt.Sprintf(`{"lease_id":%q}`, path+"/"+id))
	if status != http.StatusOK {
		return false, false
	}
	var answer struct {
		Data struct {
			LastRenewal *string `json:"last_renewal"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	return true, answer.Data.LastRenewal != nil
}

// pods are gone when the test says so.
type pods struct{ gone atomic.Bool }

func (p *pods) Gone(context.Context, store.LeasePod) (bool, error) { return p.gone.Load(), nil }

// tenancy is a registry's part that has to do with leases, on a real etcd and a real Vault.
type tenancy struct {
	store     *store.Store
	providers *remote.Providers
	ledger    *lease.Ledger
	pods      *pods
	provider  store.Provider
	*revocations
}

// revocations counts what a keeper has revoked, and tried to.
type revocations struct {
	lease.Providers
	revoked, failed atomic.Int32
}

func (r *revocations) Revoke(ctx context.Context, orgID, providerID string, handle redact.Value) error {
	err := r.Providers.Revoke(ctx, orgID, providerID, handle)
	if err != nil {
		r.failed.Add(1)
	} else {
		r.revoked.Add(1)
	}
	return err
}

var act = store.Act{Actor: "serviceaccount:billing/api"}

func newTenancy(t *testing.T, s *server) *tenancy {
	t.Helper()
	n := &tenancy{pods: &pods{}}
	var err error
	n.providers, err = remote.New(provider.Config{Types: []provider.Type{vault.Type()}, Host: host},
		func(ctx context.Context) (remote.View, error) { return n.store.View(ctx) }, func() remote.Book { return n.store })
	if err != nil {
		t.Fatal(err)
	}
	client, _ := storetest.Etcd(t)
	n.store = storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), Providers: n.providers})
	t.Cleanup(func() { _ = n.providers.Close() })
	n.ledger = lease.NewLedger(n.store, nil)
	t.Cleanup(func() { _ = n.ledger.Close() })
	n.revocations = &revocations{Providers: n.providers.Leases()}
	keeper, err := lease.NewKeeper(lease.Config{Book: n.store, Providers: n.revocations, Pods: n.pods, Cluster: "main"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = keeper.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })

	o, err := n.store.CreateOrganization(t.Context(), act, store.Organization{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	r := appRole(t, s)
	n.provider, err = n.store.CreateProvider(t.Context(), act, o.ID, store.NewProvider{Name: "real-vault", Type: r.Type, Config: r.Config, Credentials: &r.Credentials})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// start is a pod that starts: it gets the value, or its answer is lost.
func (n *tenancy) start(t *testing.T, path string, delivered bool) {
	t.Helper()
	page := n.ledger.Begin(act, store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: "uid", ServiceAccount: "api"})
	if _, err := n.store.View(t.Context()); err != nil { // so that it knows of every attempt before
		t.Fatal(err)
	}
	f := n.providers.Begin(page.For([]string{"app"}, n.store.Known()), false, nil)
	got, err := f.Fetch(t.Context(), store.Secret{OrgID: n.provider.OrgID, Remote: &store.Remote{ProviderID: n.provider.ID, Path: path, Key: "a"}})
	if err != nil || !got.Leased || string(got.Value.Reveal()) != "made" {
		t.Fatalf("leased %v, %v", got.Leased, err)
	}
	f.End(delivered)
}

func (n *tenancy) audited(t *testing.T, action audit.Action) (count int) {
	t.Helper()
	page, err := n.store.AuditEvents(t.Context(), n.provider.OrgID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		if e.Action == action {
			count++
		}
	}
	return count
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		pause(t, 200*time.Millisecond)
	}
}

func TestALeaseIsObtainedRenewedAndRevokedOnceWhenItsPodIsGone(t *testing.T) {
	s := start(t)
	s.put(t, "leased/app", fmt.Sprintf(`{"a":"made","ttl":%q}`, life))
	n := newTenancy(t, s)
	n.start(t, "leased/app", true)
	held := s.leases(t, "leased/app")
	if len(held) != 1 {
		t.Fatalf("Vault knows %d leases", len(held))
	}
	until(t, "it is renewed", func() bool {
		known, renewed := s.look(t, "leased/app", held[0])
		if !known {
			t.Fatal("the lease ended while its pod lives")
		}
		return renewed
	})
	if n.audited(t, audit.LeaseRevoke) != 0 {
		t.Error("it was revoked while its pod lives")
	}

	n.pods.gone.Store(true)
	until(t, "it is revoked", func() bool { known, _ := s.look(t, "leased/app", held[0]); return !known })
	if got := n.audited(t, audit.LeaseRevoke); got != 1 {
		t.Errorf("revoked %d times", got)
	}
	if got := n.audited(t, audit.LeaseGrant); got != 1 {
		t.Errorf("granted %d times", got)
	}
}

func TestALeaseOfALostAnswerIsRevokedAtOnce(t *testing.T) {
	s := start(t)
	s.put(t, "leased/app", `{"a":"made","ttl":"1h"}`)
	n := newTenancy(t, s)
	n.start(t, "leased/app", false)
	until(t, "it is revoked", func() bool { return len(s.leases(t, "leased/app")) == 0 })
}

func TestTheLeaseOfAnEarlierAttemptIsRevokedAtVaultOnce(t *testing.T) {
	s := start(t)
	s.put(t, "leased/app", `{"a":"made","ttl":"1h"}`)
	n := newTenancy(t, s)
	n.start(t, "leased/app", true)
	first := s.leases(t, "leased/app")
	n.start(t, "leased/app", true) // the init container is tried again
	if held := s.leases(t, "leased/app"); len(first) != 1 || len(held) != 2 {
		t.Fatalf("Vault knows %d leases, then %d", len(first), len(held))
	}
	until(t, "the first is revoked", func() bool { known, _ := s.look(t, "leased/app", first[0]); return !known })
	pause(t, 3*time.Second) // whatever else would be revoked would be by now
	if held := s.leases(t, "leased/app"); len(held) != 1 || held[0] == first[0] {
		t.Errorf("Vault knows %q, and the first was %q", held, first)
	}
	if got := n.audited(t, audit.LeaseRevoke); got != 1 {
		t.Errorf("revoked %d times", got)
	}
}

func TestALeaseOfAProviderThatPointsElsewhereIsAbandoned(t *testing.T) {
	s, elsewhere := start(t), start(t)
	s.put(t, "leased/app", fmt.Sprintf(`{"a":"made","ttl":%q}`, life))
	n := newTenancy(t, s)
	n.start(t, "leased/app", true)
	r := appRole(t, elsewhere)
	credentials := redact.New([]byte(fmt.Sprintf(`{"secret_id":%q}`, secretID)))
	if _, err := n.store.ReviseProvider(t.Context(), act, n.provider.OrgID, n.provider.ID, 0, func(p *store.Provider) error { p.Config = r.Config; return nil }, &credentials); err != nil {
		t.Fatal(err)
	}
	until(t, "it is abandoned", func() bool { return n.audited(t, audit.LeaseAbandon) == 1 })
	until(t, "Vault takes it back at its end", func() bool { return len(s.leases(t, "leased/app")) == 0 })
	if n.audited(t, audit.LeaseRevoke) != 0 {
		t.Error("it was revoked, and abandoned")
	}
}
