// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// full makes an organization that has something of every kind, under every prefix of keys.
func full(t testing.TB, s *store.Store, slug string) store.Organization {
	t.Helper()
	ctx := t.Context()
	o := organization(t, s, slug)
	member(t, s, o.ID, alice, store.RoleOwner)
	token := apiToken(t, s, o.ID, "ci", "text of "+slug)
	if _, err := s.VerifyAPIToken(ctx, token.ID, sum("text of "+slug)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { got, err := s.APIToken(ctx, o.ID, "ci"); return err == nil && got.LastUsedAt != nil })
	soon := time.Now().Add(time.Hour)
	value := redact.New([]byte("CANARY-" + slug))
	db, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "db", Value: &value, ExpiresAt: &soon})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SweepAt(ctx, time.Now()); err != nil { // notes the reminder
		t.Fatal(err)
	}
	gone := local(t, s, o.ID, "gone", "v")
	if err := s.DeleteSecret(ctx, act, o.ID, gone.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	p := provider(t, s, o.ID, "vault")
	far, err := s.CreateSecret(ctx, act, o.ID, remoteSecret("far", "vault", "kv/db"))
	if err != nil {
		t.Fatal(err)
	}
	good := store.LastGood{OrgID: o.ID, SecretID: far.ID, Remote: *far.Remote, ProviderRevision: p.Revision, SecretRevision: far.Revision, ReadAt: time.Now()}
	if err := s.KeepLastGood(ctx, good, value, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConsumer(ctx, act, o.ID, store.Consumer{Name: "api", Kind: store.ConsumerService, Envs: []store.Env{{Name: "DB", SecretID: db.ID}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendAudit(ctx, []audit.Event{received(o.ID, db.ID)}); err != nil {
		t.Fatal(err)
	}
	grantLease(t, s, p)
	invite(t, s, o.ID, store.Invitation{Email: "bob@acme.example", Role: store.RoleMember}, "code")
	return o
}

// received is the event of an answer to a pod.
func received(org, secret string) audit.Event {
	return audit.Event{
		ID: "e", Time: time.Now(), OrgID: org, Action: audit.WorkloadResolve, Outcome: audit.Allowed,
		Workload: &audit.Workload{Cluster: "main", Namespace: "billing", ServiceAccount: "api", Pod: "api-1", PodUID: "uid", Released: []audit.Grant{{Container: "app", Consumer: "acme/api", Env: "DB", SecretID: secret, Version: 1}}},
	}
}

// keysOf are the keys that carry an organization's id, without what is unique in them.
func keysOf(t testing.TB, client *clientv3.Client, org string) []string {
	t.Helper()
	resp, err := client.Get(t.Context(), store.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	var prefixes []string
	for _, kv := range resp.Kvs {
		if before, after, ok := strings.Cut(strings.TrimPrefix(string(kv.Key), store.DefaultPrefix), org); ok {
			kind, _, _ := strings.Cut(strings.TrimPrefix(after, "/"), "/")
			prefixes = append(prefixes, strings.TrimSuffix(before+"<org>/"+kind, "/"))
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes)
}

func actions(t testing.TB, s *store.Store, org string) []audit.Action {
	t.Helper()
	page, err := s.AuditEvents(t.Context(), org, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var list []audit.Action
	for _, e := range page.Items {
		list = append(list, e.Action)
	}
	return list
}

func TestAnOrganizationIsDeletedWithEverythingInItOnlyByForce(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	keys := storetest.Ring(t, storetest.Key(t))
	s := storetest.Open(t, store.Config{Client: client, Keys: keys})
	o, other := full(t, s, "acme"), full(t, s, "beta")
	before := keysOf(t, client, other.ID)
	want := []store.Content{
		{Kind: "secret", Count: 2, Names: []string{"db", "far"}, NeedsForce: true}, {Kind: "deleted_secret", Count: 1, Names: []string{"gone"}}, {Kind: "consumer", Count: 1, Names: []string{"api"}, NeedsForce: true},
		{Kind: "provider", Count: 1, Names: []string{"vault"}, NeedsForce: true}, {Kind: "workload", Count: 1, Names: []string{"billing/api-1"}, NeedsForce: true}, {Kind: "lease", Count: 1, Names: []string{"vault:database/creds/app"}, NeedsForce: true},
		{Kind: "member", Count: 1, Names: []string{alice}}, {Kind: "api_token", Count: 1, Names: []string{"ci"}}, {Kind: "invitation", Count: 1, Names: []string{"bob@acme.example"}}, {Kind: "federation"}, {Kind: "record"},
	}
	have, err := s.Contents(ctx, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	err = s.DeleteOrganization(ctx, act, o.ID, 0, false)
	full, ok := errors.AsType[*store.NotEmptyError](err)
	if !ok || !errors.Is(err, store.ErrReferenced) {
		t.Fatalf("without force: %v", err)
	}
	if diff := cmp.Diff(want, full.Contents); diff != "" {
		t.Error(diff)
	}
	if err := s.DeleteOrganization(ctx, act, o.ID, o.Revision+1, true); !errors.Is(err, store.ErrConflict) {
		t.Errorf("at another revision: %v", err)
	}
	if err := s.DeleteOrganization(ctx, act, o.ID, o.Revision, true); err != nil {
		t.Fatal(err)
	}

	// The lease waits to be revoked with the provider's credentials, and nothing else does.
	if diff := cmp.Diff([]string{"audit/<org>/events", "audit/<org>/head", "deletions/<org>", "dynamic/leases/<org>/" + leaseID(t, s, o.ID), "orgs/<org>/providernames", "orgs/<org>/providers"}, keysOf(t, client, o.ID)); diff != "" {
		t.Error(diff)
	}
	l := lease(t, s, o.ID)
	if l.State != store.LeaseEnding || l.Reason != store.ReasonOrganizationDeleted {
		t.Errorf("the lease is %s, %s", l.State, l.Reason)
	}
	if err := s.RemoveLease(ctx, l); err != nil { // as the keeper does when the provider has revoked it
		t.Fatal(err)
	}
	s.FinishDeletionsAt(ctx, time.Now())
	if diff := cmp.Diff([]string{"audit/<org>/events", "audit/<org>/head"}, keysOf(t, client, o.ID)); diff != "" {
		t.Errorf("left: %s", diff)
	}
	if got := actions(t, s, o.ID)[:2]; !slices.Equal(got, []audit.Action{audit.LeaseRevoke, audit.OrganizationDelete}) {
		t.Errorf("its log ends with %v", got)
	}
	if got := actions(t, s, "")[0]; got != audit.OrganizationPurge {
		t.Errorf("the installation's log ends with %v", got)
	}
	if diff := cmp.Diff(before, keysOf(t, client, other.ID)); diff != "" {
		t.Errorf("of the other organization: %s", diff)
	}
	if again := organization(t, s, "acme"); again.ID == o.ID {
		t.Error("its slug is not free")
	}
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, true); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

// lease is the only lease of an organization.
func lease(t testing.TB, s *store.Store, org string) store.Lease {
	t.Helper()
	for c := range follow(t, s) {
		if c.OrgID == org {
			return c.Lease
		}
	}
	panic("unreachable")
}

func leaseID(t testing.TB, s *store.Store, org string) string {
	t.Helper()
	return lease(t, s, org).ID
}

// Whatever a deletion has got to when the process dies, any replica finishes it at its start; and until then nobody sees anything of the organization.
func TestADeletionThatWasCutShortIsFinishedAtTheNextStart(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	f := faultyOf(t, client)
	dying := f.open(t, store.Config{})
	o := full(t, dying, "acme")
	die := func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
		done, err := commit()
		if versions, err := client.Get(ctx, store.DefaultPrefix+"orgs/"+o.ID+"/versions/", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || versions.Count == 0 {
			f.down.Store(true)
		}
		return done, err
	}
	f.answers.Store(&die)
	if err := dying.DeleteOrganization(ctx, act, o.ID, 0, true); err != nil {
		t.Fatal(err)
	}
	left := keysOf(t, client, o.ID)
	if !slices.Contains(left, "orgs/<org>/secrets") || slices.Contains(left, "orgs/<org>/versions") {
		t.Errorf("it was not cut short: %v", left)
	}
	if _, err := client.Delete(ctx, store.DefaultPrefix+"dynamic/leases/", clientv3.WithPrefix()); err != nil { // it was revoked meanwhile
		t.Fatal(err)
	}
	s := storetest.Open(t, store.Config{Client: client, Keys: f.keys})
	if _, err := s.Organization(ctx, "acme"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it is found: %v", err)
	}
	if list, err := s.Memberships(ctx, alice); err != nil || len(list) != 0 {
		t.Errorf("its member: %v, %v", list, err)
	}
	view, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := view.Consumer("acme", "api"); ok {
		t.Error("its consumer resolves")
	}
	eventually(t, func() bool { return len(keysOf(t, client, o.ID)) == 2 })
}

// A lease that cannot be revoked in time does not keep the organization: the provider goes, and the keeper abandons the lease like one of any deleted provider.
func TestALeaseThatCannotBeRevokedIsLeftToItself(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	o := full(t, s, "acme")
	if err := s.DeleteOrganization(ctx, act, o.ID, 0, true); err != nil {
		t.Fatal(err)
	}
	l := lease(t, s, o.ID)
	if _, err := s.Provider(ctx, o.ID, "vault"); err != nil {
		t.Errorf("its provider: %v", err)
	}
	s.FinishDeletionsAt(ctx, time.Now().Add(23*time.Hour))
	waiting, err := s.Deletions(ctx)
	if err != nil || len(waiting) != 1 || s.Deleting() != 1 {
		t.Fatalf("waiting: %+v, %v, counted as %d", waiting, err, s.Deleting())
	}
	d := waiting[0]
	if d.OrgID != o.ID || d.Slug != "acme" || d.By != act.Actor || d.Leases != 1 || d.Until.Sub(d.At) != 24*time.Hour {
		t.Errorf("waiting: %+v", d)
	}
	if _, err := s.Provider(ctx, o.ID, "vault"); err != nil {
		t.Errorf("its provider, as long as the lease waits: %v", err)
	}
	s.FinishDeletionsAt(ctx, time.Now().Add(25*time.Hour))
	if waiting, err := s.Deletions(ctx); err != nil || len(waiting) != 0 || s.Deleting() != 0 {
		t.Errorf("waiting in the end: %+v, %v, counted as %d", waiting, err, s.Deleting())
	}
	if diff := cmp.Diff([]string{"audit/<org>/events", "audit/<org>/head", "dynamic/leases/<org>/" + l.ID}, keysOf(t, client, o.ID)); diff != "" {
		t.Error(diff)
	}
	if err := s.AbandonLease(ctx, store.Act{Actor: "registry:leases"}, o.ID, l.ID, "provider_changed"); err != nil {
		t.Fatal(err)
	}
	if got := actions(t, s, o.ID)[0]; got != audit.LeaseAbandon {
		t.Errorf("its log ends with %v", got)
	}
}

// Writers of every kind race with the deletion on another replica. What was acknowledged before it goes with it; after it nothing is acknowledged, and nothing is left of what was tried.
func TestNothingIsCreatedInAnOrganizationThatIsBeingDeleted(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	keys := storetest.Ring(t, storetest.Key(t))
	s, other := storetest.Open(t, store.Config{Client: client, Keys: keys}), storetest.Open(t, store.Config{Client: client, Keys: keys})
	o := organization(t, s, "acme")
	p := provider(t, s, o.ID, "vault")
	db := local(t, s, o.ID, "db", "v")
	writers := []func(r *store.Store, name string) error{
		func(r *store.Store, name string) error {
			value := redact.New([]byte("v"))
			_, err := r.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: name, Value: &value})
			return err
		},
		func(r *store.Store, name string) error {
			_, err := r.CreateConsumer(ctx, act, o.ID, store.Consumer{Name: name, Kind: store.ConsumerService})
			return err
		},
		func(r *store.Store, name string) error {
			_, err := r.AddMember(ctx, act, o.ID, store.Member{Principal: "user:" + name, Role: store.RoleMember})
			return err
		},
		func(r *store.Store, name string) error {
			_, err := r.UpdateSecret(ctx, act, o.ID, db.ID, 0, func(s *store.Secret) error { s.Description = name; return nil })
			return err
		},
		func(r *store.Store, name string) error {
			e := received(o.ID, db.ID)
			e.Workload.PodUID = name
			return r.AppendAudit(ctx, []audit.Event{e})
		},
		func(r *store.Store, name string) error {
			now := time.Now()
			_, err := r.GrantLease(ctx, act, store.Lease{OrgID: o.ID, ProviderID: p.ID, GrantedAt: now, RenewedAt: now, ExpiresAt: now.Add(time.Hour)}, redact.New([]byte("h")))
			return err
		},
	}
	var began, group sync.WaitGroup
	for i, write := range writers {
		began.Add(1)
		group.Go(func() {
			r := []*store.Store{s, other}[i%2]
			for n := 0; ; n++ {
				err := write(r, fmt.Sprintf("w%d-%d", i, n))
				if n == 0 {
					began.Done()
				}
				switch {
				case errors.Is(err, store.ErrNotFound):
					return
				case errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil: // too many conflicts: nothing was written
				case err != nil:
					t.Errorf("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	began.Wait()
	eventually(t, func() bool {
		return !errors.Is(other.DeleteOrganization(ctx, act, o.ID, 0, true), store.ErrUnavailable)
	})
	group.Wait()
	s.FinishDeletionsAt(ctx, time.Now().Add(25*time.Hour))
	for _, prefix := range keysOf(t, client, o.ID) {
		if !strings.HasPrefix(prefix, "audit/") && !strings.HasPrefix(prefix, "dynamic/leases/") {
			t.Errorf("%s is left", prefix)
		}
	}
}

// Admission must forget the names at once, although the consumers are removed only after the organization.
func TestNamesGoWithTheirOrganization(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	if _, err := s.CreateConsumer(ctx, act, o.ID, store.Consumer{Name: "api", Kind: store.ConsumerService}); err != nil {
		t.Fatal(err)
	}
	var deleting sync.WaitGroup
	for c := range s.WatchNames(ctx, "main") {
		switch {
		case c.Synced:
			deleting.Go(func() {
				if err := s.DeleteOrganization(ctx, act, o.ID, 0, true); err != nil {
					t.Error(err)
				}
			})
		case c.Consumer == nil:
			if c.Ref.Org != "acme" || c.Ref.Name != "api" {
				t.Errorf("told of %v", c.Ref)
			}
			deleting.Wait() // the names go before the rest does
			return
		}
	}
}
