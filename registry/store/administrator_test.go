// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

const issued = "user:https://login.example/realms/staff#4711"

func administrators(t testing.TB, s *store.Store, principals ...string) {
	t.Helper()
	for _, principal := range principals {
		if _, err := s.AddAdministrator(t.Context(), act, principal); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAdministratorsComeAndGo(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	administrators(t, s, issued, deployer)
	for principal, want := range map[string]bool{issued: true, deployer: true, alice: false, "token:bootstrap": false} {
		if got, err := other.Administration(ctx, principal); err != nil || got.Administrator != want || got.BootstrapEnd != nil {
			t.Errorf("%s: %+v, %v", principal, got, err)
		}
	}
	if _, err := s.AddAdministrator(ctx, act, issued); !errors.Is(err, store.ErrExists) {
		t.Errorf("adding twice: %v", err)
	}
	for _, wrong := range []string{"", "alice", "token:bootstrap", "user:with space", "serviceaccount:alone"} {
		if _, err := s.AddAdministrator(ctx, act, wrong); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	page, err := other.Administrators(ctx, store.Query{Limit: 1})
	if err != nil || len(page.Items) != 1 || page.Items[0].Principal != deployer || page.Next == "" {
		t.Fatalf("got %+v, %v", page, err)
	}
	if page, err = other.Administrators(ctx, store.Query{Limit: 1, After: page.Next}); err != nil || len(page.Items) != 1 || page.Items[0].Principal != issued || page.Next != "" {
		t.Fatalf("got %+v, %v", page, err)
	}
	found, err := other.Administrator(ctx, page.Items[0].ID)
	if err != nil || found.Principal != issued || found.CreatedBy != act.Actor {
		t.Errorf("got %+v, %v", found, err)
	}
	if err := s.RemoveAdministrator(ctx, act, issued, found.Revision+1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another revision: %v", err)
	}
	if err := s.RemoveAdministrator(ctx, act, issued, found.Revision); err != nil {
		t.Error(err)
	}
	if got, err := other.Administration(ctx, issued); err != nil || got.Administrator {
		t.Errorf("still one after the acknowledged removal: %+v, %v", got, err)
	}
	if err := s.RemoveAdministrator(ctx, act, deployer, 0); err != nil {
		t.Errorf("while the bootstrap token counts, nobody is the last: %v", err)
	}
}

func TestTheBootstrapTokenEndsWithTheFirstPersonWhoAdministers(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	administrators(t, s, issued, deployer)
	for _, nobody := range []string{alice, deployer, "token:bootstrap"} {
		if err := s.EndBootstrap(ctx, act, nobody); err != nil {
			t.Fatal(err)
		}
		if got, err := other.Administration(ctx, nobody); err != nil || got.BootstrapEnd != nil {
			t.Fatalf("%s ended the bootstrap token: %+v, %v", nobody, got, err)
		}
	}
	both, ctx := errgroup.WithContext(ctx)
	for _, replica := range r {
		both.Go(func() error { return replica.EndBootstrap(ctx, act, issued) })
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	got, err := other.Administration(t.Context(), "token:bootstrap")
	if err != nil || got.BootstrapEnd == nil || got.BootstrapEnd.By != issued || got.BootstrapEnd.At.IsZero() {
		t.Fatalf("got %+v, %v", got, err)
	}
	events, err := s.AuditEvents(t.Context(), "", store.AuditQuery{Action: audit.BootstrapEnd})
	if err != nil || len(events.Items) != 1 {
		t.Errorf("%d events, %v: it ends once", len(events.Items), err)
	}
	if err := s.RemoveAdministrator(t.Context(), act, issued, 0); err != nil {
		t.Error(err)
	}
	if got, err := other.Administration(t.Context(), "token:bootstrap"); err != nil || got.BootstrapEnd == nil {
		t.Errorf("it counts again: %+v, %v", got, err)
	}
	if err := s.RemoveAdministrator(t.Context(), act, deployer, 0); !errors.Is(err, store.ErrLastAdministrator) {
		t.Errorf("the last one left: %v", err)
	}
}

// Of two administrators who remove each other at the same time, one remains.
func TestTwoAdministratorsCannotRemoveEachOther(t *testing.T) {
	r := replicas(t, 2)
	const bob = "user:bob@acme.example"
	administrators(t, r[0], alice, bob)
	if err := r[0].EndBootstrap(t.Context(), act, alice); err != nil {
		t.Fatal(err)
	}
	var outcome [2]error
	group, ctx := errgroup.WithContext(context.WithoutCancel(t.Context()))
	for i, principal := range []string{alice, bob} {
		group.Go(func() error {
			outcome[i] = r[i].RemoveAdministrator(ctx, act, principal, 0)
			return nil
		})
	}
	_ = group.Wait()
	if (outcome[0] == nil) == (outcome[1] == nil) || !errors.Is(errors.Join(outcome[:]...), store.ErrLastAdministrator) {
		t.Errorf("got %v", outcome)
	}
}

// Whoever writes to etcd makes nobody an administrator, and a damaged record of the bootstrap token's end does not bring the token back.
func TestForgedAdministration(t *testing.T) {
	etcd, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: etcd, Keys: storetest.Ring(t, storetest.Key(t))})
	administrators(t, s, alice)
	if err := s.EndBootstrap(t.Context(), act, alice); err != nil {
		t.Fatal(err)
	}
	resp, err := etcd.Get(t.Context(), store.DefaultPrefix+"people/administrators/"+"user:alice@acme.example")
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("%d keys, %v", len(resp.Kvs), err)
	}
	if _, err := etcd.Put(t.Context(), store.DefaultPrefix+"people/administrators/user:mallory", string(resp.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	administrators(t, s, "user:bob") // a write after it, which every read waits for
	if got, err := s.Administration(t.Context(), "user:mallory"); err != nil || got.Administrator {
		t.Errorf("a copied record counts: %+v, %v", got, err)
	}
	if _, err := etcd.Put(t.Context(), store.DefaultPrefix+"people/bootstrap", "{}"); err != nil {
		t.Fatal(err)
	}
	administrators(t, s, "user:carol")
	if got, err := s.Administration(t.Context(), "token:bootstrap"); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("got %+v, %v", got, err)
	}
}
