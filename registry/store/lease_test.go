// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

const leaseHandle = `{"lease_id":"database/creds/app/CANARY-lease"}`

// grantLease grants one of an hour through a provider.
func grantLease(t testing.TB, s *store.Store, p store.Provider) store.Lease {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	l, err := s.GrantLease(t.Context(), act, store.Lease{
		OrgID: p.OrgID, ProviderID: p.ID, Provider: p.Name, Path: "database/creds/app", Pod: store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: "uid"},
		Containers: []string{"app"}, Since: 7,
		GrantedAt: now, RenewedAt: now, ExpiresAt: now.Add(time.Hour), Life: time.Hour, Renewable: true,
	}, redact.New([]byte(leaseHandle)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// follow sends what FollowLeases yields.
func follow(t testing.TB, s *store.Store) <-chan store.LeaseChange {
	t.Helper()
	changes, ended := make(chan store.LeaseChange, 100), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		_ = s.FollowLeases(ctx, func(c store.LeaseChange) { changes <- c })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return changes
}

func next(t testing.TB, changes <-chan store.LeaseChange) store.LeaseChange {
	t.Helper()
	select {
	case c := <-changes:
		return c
	case <-time.After(30 * time.Second):
		t.Fatal("no change came")
		panic("unreachable")
	}
}

func TestALeaseIsGrantedFollowedEndedAndForgotten(t *testing.T) {
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	p := provider(t, s, organization(t, s, "acme").ID, "vault")
	first := grantLease(t, s, p)
	changes := follow(t, s)
	if c := next(t, changes); c.ID != first.ID || c.State != store.LeaseActive || c.Pod.UID != "uid" || c.Revision != first.Revision {
		t.Errorf("listed: %+v", c)
	}
	if c := next(t, changes); c.ID != "" {
		t.Errorf("the list goes on: %+v", c)
	}
	second := grantLease(t, s, p)
	seen := next(t, changes)
	if seen.ID != second.ID || !seen.Renewable || seen.Life != time.Hour {
		t.Errorf("followed: %+v", seen)
	}
	if handle, err := s.OpenLease(seen.Lease); err != nil || string(handle.Reveal()) != leaseHandle {
		t.Errorf("its handle: %v", err)
	}

	for range 2 { // the second time changes nothing, and is not recorded
		if err := s.EndLease(t.Context(), store.Act{Actor: "registry:leases"}, p.OrgID, first.ID, "pod_gone"); err != nil {
			t.Fatal(err)
		}
	}
	ended := next(t, changes)
	if ended.ID != first.ID || ended.State != store.LeaseEnding || ended.Reason != "pod_gone" {
		t.Errorf("ended: %+v", ended)
	}
	if _, err := s.RenewedLease(t.Context(), first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("renewing it as it was: %v", err)
	}
	if err := s.RemoveLease(t.Context(), first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("forgetting it as it was: %v", err)
	}
	if err := s.RemoveLease(t.Context(), ended.Lease); err != nil {
		t.Error(err)
	}
	if c := next(t, changes); c.ID != first.ID || !c.Gone {
		t.Errorf("forgotten: %+v", c)
	}
	if err := s.EndLease(t.Context(), act, p.OrgID, first.ID, "pod_gone"); err != nil {
		t.Errorf("ending what is gone: %v", err)
	}

	var told []string
	page, err := s.AuditEvents(t.Context(), p.OrgID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		if strings.HasPrefix(string(e.Action), "lease.") {
			told = append(told, string(e.Action)+" "+e.Actor+" "+e.Reason+" "+e.Workload.Pod)
		}
	}
	if got, want := strings.Join(told, ", "), "lease.revoke registry:leases pod_gone api, lease.grant token:test  api, lease.grant token:test  api"; got != want {
		t.Errorf("audited: %s\nwant %s", got, want)
	}
	all, err := client.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range all.Kvs {
		if strings.Contains(string(kv.Value), "CANARY") {
			t.Errorf("%s holds the lease's id in clear", kv.Key)
		}
	}
}

func TestALeaseKeepsWhatItSupersedesOthersBy(t *testing.T) {
	s := storetest.Start(t)
	p := provider(t, s, organization(t, s, "acme").ID, "vault")
	l := grantLease(t, s, p)
	if _, err := s.View(t.Context()); err != nil { // of everything before
		t.Fatal(err)
	}
	if known := s.Known(); l.Created == 0 || l.Created != l.Revision || known < l.Created {
		t.Errorf("created at %d, revision %d, known %d", l.Created, l.Revision, known)
	}
	renewed, err := s.RenewedLease(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	listed := next(t, follow(t, s)).Lease
	for name, got := range map[string]store.Lease{"renewed": renewed, "listed": listed} {
		if got.Created != l.Created || got.Revision == l.Revision || got.Since != 7 || !slices.Equal(got.Containers, []string{"app"}) {
			t.Errorf("%s: created %d, revision %d, since %d, for %q", name, got.Created, got.Revision, got.Since, got.Containers)
		}
	}
}

func TestALeaseOfADeletedProviderIsNotGranted(t *testing.T) {
	s := storetest.Start(t)
	p := provider(t, s, organization(t, s, "acme").ID, "vault")
	if err := s.DeleteProvider(t.Context(), act, p.OrgID, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GrantLease(t.Context(), act, store.Lease{OrgID: p.OrgID, ProviderID: p.ID}, redact.New([]byte("x"))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
}

func TestALeaseIsAbandonedOnceAndNotRevokedAfterwards(t *testing.T) {
	s := storetest.Start(t)
	p := provider(t, s, organization(t, s, "acme").ID, "vault")
	l := grantLease(t, s, p)
	if err := s.EndLease(t.Context(), act, p.OrgID, l.ID, "pod_gone"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.AbandonLease(t.Context(), act, p.OrgID, l.ID, "provider_changed"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EndLease(t.Context(), act, p.OrgID, l.ID, "pod_gone"); err != nil {
		t.Fatal(err)
	}
	if c := next(t, follow(t, s)); c.State != store.LeaseAbandoned || c.Reason != "provider_changed" {
		t.Errorf("listed: %+v", c)
	}
	page, err := s.AuditEvents(t.Context(), p.OrgID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range page.Items[:3] {
		told = append(told, string(e.Action)+" "+e.Reason)
	}
	if got, want := strings.Join(told, ", "), "lease.abandon provider_changed, lease.revoke pod_gone, lease.grant "; got != want {
		t.Errorf("audited: %s\nwant %s", got, want)
	}
}

func TestALeaseThatWasMovedOrEditedIsNotFollowed(t *testing.T) {
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	p := provider(t, s, organization(t, s, "acme").ID, "vault")
	grantLease(t, s, p)
	from := store.DefaultPrefix + "dynamic/leases/"
	got, err := client.Get(t.Context(), from, clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("%d records, %v", len(got.Kvs), err)
	}
	record := string(got.Kvs[0].Value)
	for key, value := range map[string]string{
		from + p.OrgID + "/00000000-0000-7000-8000-000000000000": record,
		string(got.Kvs[0].Key): strings.Replace(record, `"active"`, `"ending"`, 1),
	} {
		if _, err := client.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	if c := next(t, follow(t, s)); c.ID != "" {
		t.Errorf("followed: %+v", c)
	}
	if s.Stats().IntegrityFailures != 2 {
		t.Errorf("%d integrity failures", s.Stats().IntegrityFailures)
	}
}

func TestRenewingSealsALeaseWithThePrimaryKey(t *testing.T) {
	client, _ := storetest.Etcd(t)
	old, now := storetest.Key(t), storetest.Key(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, old)})
	p := provider(t, s, organization(t, s, "acme").ID, "vault")
	l := grantLease(t, s, p)
	rotated := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, now, old)})
	l.ExpiresAt = l.ExpiresAt.Add(time.Hour)
	if _, err := rotated.RenewedLease(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	kv, err := client.Get(t.Context(), store.DefaultPrefix+"dynamic/leases/", clientv3.WithPrefix())
	if err != nil || len(kv.Kvs) != 1 {
		t.Fatal(err)
	}
	alone := storetest.Ring(t, now)
	if _, err := alone.OpenRecord(string(kv.Kvs[0].Key), "lease", kv.Kvs[0].Value); err != nil {
		t.Errorf("the record needs the old key: %v", err)
	}
	reader := follow(t, storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, now, old)}))
	if handle, err := rotated.OpenLease(next(t, reader).Lease); err != nil || string(handle.Reveal()) != leaseHandle {
		t.Errorf("its handle: %v", err)
	}
}

func TestOneReplicaLeadsAndAnotherFollowsIt(t *testing.T) {
	client, _ := storetest.Etcd(t)
	keys := storetest.Ring(t, storetest.Key(t))
	leading := make(chan int)
	var stop [2]context.CancelFunc
	var ended [2]chan struct{}
	for i := range 2 {
		s := storetest.Open(t, store.Config{Client: client, Keys: keys})
		ctx, cancel := context.WithCancel(t.Context())
		stop[i], ended[i] = cancel, make(chan struct{})
		go func() {
			defer close(ended[i])
			_ = s.Lead(ctx, "work", func(ctx context.Context) {
				select {
				case leading <- i:
				case <-ctx.Done():
				}
				<-ctx.Done()
			})
		}()
	}
	first := <-leading
	select {
	case second := <-leading:
		t.Errorf("%d leads beside %d", second, first)
	default:
	}
	stop[first]()
	<-ended[first]
	if second := <-leading; second == first {
		t.Errorf("%d leads again", second)
	}
	stop[1-first]()
	<-ended[1-first]
}
