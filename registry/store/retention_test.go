// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"slices"
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

const day = 24 * time.Hour

// happened lists the actions of an organization's audit events on one secret, oldest first.
func happened(t *testing.T, s *store.Store, org, secret string) (actions []audit.Action) {
	t.Helper()
	events, err := s.AuditEvents(t.Context(), org, store.AuditQuery{ResourceID: secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		actions = append(actions, e.Action)
	}
	slices.Reverse(actions)
	return actions
}

func TestADeletedSecretIsPurgedAfterItsRetention(t *testing.T) {
	t.Parallel()
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), DeletedRetention: 7 * day}
	s := storetest.Open(t, config)
	ctx := t.Context()
	o := organization(t, s, "acme")
	gone, used, kept := local(t, s, o.ID, "gone", "v"), local(t, s, o.ID, "used", "v"), local(t, s, o.ID, "kept", "v")
	user := consumer(t, s, o.ID, "api", store.Env{Name: "A", SecretID: used.ID})
	for _, secret := range []store.Secret{gone, used} {
		if err := s.DeleteSecret(ctx, act, o.ID, secret.ID, 0, true); err != nil {
			t.Fatal(err)
		}
	}
	deleted, err := s.Secret(ctx, o.ID, "gone")
	if err != nil {
		t.Fatal(err)
	}
	if at := s.PurgeAt(deleted); at == nil || !at.Equal(deleted.DeletedAt.Add(7*day)) || s.PurgeAt(kept) != nil {
		t.Errorf("purge at %v", at)
	}
	sweep := func(at time.Time) {
		t.Helper()
		if err := s.SweepAt(ctx, at); err != nil {
			t.Fatal(err)
		}
	}
	sweep(time.Now().Add(6 * day))
	if _, err := s.UndeleteSecret(ctx, act, o.ID, gone.ID, 0); err != nil {
		t.Errorf("within its retention: %v", err)
	}
	if err := s.DeleteSecret(ctx, act, o.ID, gone.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	other := storetest.Open(t, config)
	var wait sync.WaitGroup
	for _, replica := range []*store.Store{s, other} { // two at once do it once
		wait.Go(func() {
			if err := replica.SweepAt(ctx, time.Now().Add(8*day)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if _, err := s.Secret(ctx, o.ID, gone.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its retention: %v", err)
	}
	if diff := cmp.Diff([]audit.Action{audit.SecretCreate, audit.SecretDelete, audit.SecretUndelete, audit.SecretDelete, audit.SecretPurge}, happened(t, s, o.ID, gone.ID)); diff != "" {
		t.Error(diff)
	}
	left, err := client.Get(ctx, store.DefaultPrefix+"orgs/"+o.ID+"/versions/"+gone.ID, clientv3.WithPrefix())
	if err != nil || len(left.Kvs) != 0 {
		t.Errorf("%d versions are left, %v", len(left.Kvs), err)
	}
	local(t, s, o.ID, "gone", "another") // the name is free
	if _, err := s.Secret(ctx, o.ID, "used"); err != nil {
		t.Errorf("what a consumer refers to was purged: %v", err)
	}
	if err := s.DeleteConsumer(ctx, act, o.ID, user.ID, 0); err != nil {
		t.Fatal(err)
	}
	sweep(time.Now().Add(8 * day))
	if _, err := s.Secret(ctx, o.ID, "used"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its last reference: %v", err)
	}
	if _, _, err := s.VerifyAudit(ctx, o.ID); err != nil {
		t.Error(err)
	}
}

func TestSupersededVersionsBeyondThoseKeptAreDestroyed(t *testing.T) {
	t.Parallel()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), KeptVersions: 2})
	ctx := t.Context()
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "v1")
	consumer(t, s, o.ID, "api", store.Env{Name: "A", SecretID: secret.ID, Version: 1})
	for i := 2; i <= 6; i++ {
		if _, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, redact.New(fmt.Append(nil, "v", i)), i != 6); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SweepAt(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	versions, err := s.Versions(ctx, o.ID, "db")
	if err != nil {
		t.Fatal(err)
	}
	var there []uint64
	for _, v := range versions {
		if v.DestroyedAt == nil {
			there = append(there, v.Number)
		}
	}
	if diff := cmp.Diff([]uint64{6, 5, 4, 3, 1}, there); diff != "" { // staged, active, two superseded ones, and the pinned one
		t.Error(diff)
	}
}

func TestExpiryIsNotedOnceForEachThreshold(t *testing.T) {
	t.Parallel()
	s := storetest.Start(t)
	ctx := t.Context()
	o := organization(t, s, "acme")
	start := time.Now().UTC().Truncate(time.Second)
	expires := start.Add(20 * day)
	secret, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "db", ExpiresAt: &expires})
	if err != nil {
		t.Fatal(err)
	}
	local(t, s, o.ID, "never", "v")
	for _, at := range []time.Duration{0, day, 14 * day, 15 * day, 19*day + time.Hour, 20 * day, 40 * day} {
		if err := s.SweepAt(ctx, start.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	want := []audit.Action{audit.SecretCreate, audit.SecretExpiring, audit.SecretExpiring, audit.SecretExpiring, audit.SecretExpired}
	if diff := cmp.Diff(want, happened(t, s, o.ID, secret.ID)); diff != "" {
		t.Error(diff)
	}
	if now, err := s.Secret(ctx, o.ID, "db"); err != nil || now.Revision != secret.Revision {
		t.Errorf("a reminder changed the ETag: %v", err)
	}
	later := start.Add(60 * day)
	if _, err := s.UpdateSecret(ctx, act, o.ID, secret.ID, 0, func(s *store.Secret) error { s.ExpiresAt = &later; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.SweepAt(ctx, start.Add(40*day)); err != nil {
		t.Fatal(err)
	}
	if got := happened(t, s, o.ID, secret.ID); len(got) != 7 || got[6] != audit.SecretExpiring {
		t.Errorf("after another time was set: %v", got)
	}
	page, err := s.Secrets(ctx, o.ID, store.Query{ExpiringBefore: later.Add(time.Second)})
	if err != nil || len(page.Items) != 1 || page.Items[0].Name != "db" {
		t.Errorf("got %+v, %v", page.Items, err)
	}
	if page, err = s.Secrets(ctx, o.ID, store.Query{ExpiringBefore: later}); err != nil || len(page.Items) != 0 {
		t.Errorf("got %+v, %v", page.Items, err)
	}
	if got := s.SecretStates(); got["active"] != 2 || got["expired"] != 0 {
		t.Errorf("states %v", got)
	}
}

func TestOneReplicaSweepsAtATime(t *testing.T) {
	t.Parallel()
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
	a, b := storetest.Open(t, config), storetest.Open(t, config)
	at := time.Now().Add(time.Hour) // storetest's stores may sweep themselves now
	claim := func(s *store.Store, at time.Time) bool {
		t.Helper()
		claimed, err := s.ClaimSweep(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		return claimed
	}
	if !claim(a, at) || claim(b, at.Add(time.Minute)) || claim(a, at.Add(9*time.Minute)) {
		t.Error("a sweep is made by more than one, or by none")
	}
	if !claim(b, at.Add(11*time.Minute)) {
		t.Error("the next one is not made")
	}
}
