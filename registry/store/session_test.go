// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func session(t testing.TB, s *store.Store, principal, text string, change ...func(*store.Session)) store.Session {
	t.Helper()
	n := store.Session{Principal: principal, Kind: store.SessionBrowser, Client: "test", ExpiresAt: time.Now().Add(time.Hour), Idle: time.Hour}
	for _, c := range change {
		c(&n)
	}
	made, err := s.CreateSession(t.Context(), act, n, func(string) [32]byte { return sum(text) })
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestASessionIsAcceptedOnEveryReplicaUntilItIsRevoked(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	made := session(t, s, alice, "text")
	found, err := other.VerifySession(ctx, made.ID, sum("text"))
	if err != nil || found.Principal != alice || found.ID != made.ID || found.Revision != made.Revision || !found.LastUsedAt.Equal(made.CreatedAt) {
		t.Errorf("got %+v, %v", found, err)
	}
	for what, err := range map[string]error{
		"another text":      second(other.VerifySession(ctx, made.ID, sum("texts"))),
		"another id":        second(other.VerifySession(ctx, "0197a2b3-0000-7000-8000-000000000000", sum("text"))),
		"somebody else's":   second(other.Session(ctx, deployer, made.ID)),
		"revoked by others": other.RevokeSession(ctx, act, deployer, made.ID),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := other.RevokeSession(ctx, act, alice, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifySession(ctx, made.ID, sum("text")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after it was revoked: %v", err)
	}
	if err := s.RevokeSession(ctx, act, alice, made.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked again: %v", err)
	}
}

func TestASessionEndsWhenItIsNotUsedAndWhenItsTimeIsOver(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	idle := session(t, s, alice, "idle", func(n *store.Session) { n.Idle = time.Nanosecond })
	short := session(t, s, alice, "short", func(n *store.Session) { n.ExpiresAt = time.Now().Add(50 * time.Millisecond) })
	session(t, s, alice, "long")
	for id, text := range map[string]string{idle.ID: "idle", short.ID: "short"} {
		for {
			if _, err := s.VerifySession(ctx, id, sum(text)); errors.Is(err, store.ErrNotFound) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if list, err := s.Sessions(ctx, alice); err != nil || len(list) != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
	for what, change := range map[string]func(*store.Session){
		"over before it begins": func(n *store.Session) { n.ExpiresAt = time.Now().Add(-time.Second) },
		"too long":              func(n *store.Session) { n.ExpiresAt = time.Now().Add(store.MaxSessionLife + time.Hour) },
		"of no kind":            func(n *store.Session) { n.Kind = "" },
		"of nobody":             func(n *store.Session) { n.Principal = "token:x" },
		"never idle":            func(n *store.Session) { n.Idle = 0 },
	} {
		n := store.Session{Principal: alice, Kind: store.SessionCLI, ExpiresAt: time.Now().Add(time.Hour), Idle: time.Hour}
		change(&n)
		if _, err := s.CreateSession(ctx, act, n, func(string) [32]byte { return sum("x") }); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAPrincipalHasSoManySessionsAndLosesTheOldest(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	session(t, s, deployer, "other")
	var made []store.Session
	for i := range store.MaxSessions + 2 {
		made = append(made, session(t, s, alice, fmt.Sprint(i), func(n *store.Session) { n.Client = strings.Repeat("ü", 200) }))
	}
	list, err := s.Sessions(ctx, alice)
	if err != nil || len(list) != store.MaxSessions || list[0].ID != made[len(made)-1].ID || list[len(list)-1].ID != made[2].ID {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	if len(list[0].Client) != 256 || list[0].Client != strings.Repeat("ü", 128) {
		t.Errorf("the client is %q", list[0].Client)
	}
	if list, err := s.Sessions(ctx, deployer); err != nil || len(list) != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestEtcdForgetsSessionsByItselfAndTheirTextIsNotInIt(t *testing.T) {
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	made := session(t, s, alice, "text-canary")
	resp, err := client.Get(t.Context(), store.DefaultPrefix+"sessions/"+made.ID)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatal(resp, err)
	}
	ttl, err := client.TimeToLive(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease))
	if err != nil || ttl.GrantedTTL < 3590 || ttl.GrantedTTL > 3602 {
		t.Errorf("the lease is %+v, %v", ttl, err)
	}
	if strings.Contains(string(resp.Kvs[0].Value), "text-canary") {
		t.Error("the text is in etcd")
	}
	if _, err := client.Revoke(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease)); err != nil { // as etcd does at its end
		t.Fatal(err)
	}
	for {
		if _, err := s.VerifySession(t.Context(), made.ID, sum("text-canary")); errors.Is(err, store.ErrNotFound) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
