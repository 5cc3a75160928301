// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// released is the event of an answer to pod, whose uid is uid-<pod>, at a minute after start. Grants are "<container> <consumer id> <env> <secret id> <version>".
func released(t testing.TB, orgID, namespace, pod string, minute int, grants ...string) audit.Event {
	t.Helper()
	e := audit.Event{OrgID: orgID, Time: start.Add(time.Duration(minute) * time.Minute), Action: audit.WorkloadResolve, Outcome: audit.Allowed, Workload: &audit.Workload{
		Cluster: "eu/1", Namespace: namespace, ServiceAccount: "sa", Pod: pod, PodUID: "uid-" + pod, Node: "n1",
	}}
	for _, text := range grants {
		var g audit.Grant
		if _, err := fmt.Sscan(text, &g.Container, &g.ConsumerID, &g.Env, &g.SecretID, &g.Version); err != nil {
			t.Fatal(err)
		}
		g.Consumer, g.SecretID = "acme/then", strings.Trim(g.SecretID, "-")
		e.Workload.Released = append(e.Workload.Released, g)
	}
	return e
}

func appended(t testing.TB, s *store.Store, events ...audit.Event) {
	t.Helper()
	if err := s.AppendAudit(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

// pods names the workloads of a query.
func pods(t testing.TB, s *store.Store, orgID string, q store.WorkloadQuery) []string {
	t.Helper()
	page, err := s.Workloads(t.Context(), orgID, q)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(page.Items))
	for _, w := range page.Items {
		names = append(names, w.Namespace+"/"+w.Pod)
	}
	return names
}

func TestAnAnswerToAPodIsKnownAsSoonAsItIsRecorded(t *testing.T) {
	s := storetest.Start(t)
	acme, other := organization(t, s, "acme"), organization(t, s, "other")
	db := local(t, s, acme.ID, "db", "v")
	api := consumer(t, s, acme.ID, "api", store.Env{Name: "DB", SecretID: "db"})
	appended(t, s,
		released(t, acme.ID, "shop", "web-1", 1, "app "+api.ID+" DB "+db.ID+" 1", "app "+api.ID+" PLAIN - 0"),
		released(t, acme.ID, "shop", "web-1", 2, "side gone KEY "+db.ID+" 1"),
		released(t, other.ID, "shop", "web-1", 3, "app c KEY s 1"),
		audit.Event{OrgID: acme.ID, Outcome: audit.Denied, Workload: released(t, acme.ID, "shop", "denied", 1, "app c DB s 1").Workload},
	)
	got, err := s.Workload(t.Context(), acme.ID, "uid-web-1")
	if err != nil {
		t.Fatal(err)
	}
	want := store.Workload{
		ID: "uid-web-1", OrgID: acme.ID, Cluster: "eu/1", Namespace: "shop", Pod: "web-1", Node: "n1", ServiceAccount: "sa", ReceivedAt: start.Add(2 * time.Minute),
		Containers: []store.WorkloadContainer{
			{Name: "app", ConsumerID: api.ID, Consumer: "api", ReceivedAt: start.Add(time.Minute), Envs: []store.WorkloadEnv{{Name: "DB", SecretID: db.ID, Secret: "db", Version: 1}}},
			{Name: "side", ConsumerID: "gone", Consumer: "then", ReceivedAt: start.Add(2 * time.Minute), Envs: []store.WorkloadEnv{
				{Name: "KEY", SecretID: db.ID, Secret: "db", Version: 1, Stale: store.StaleReference},
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("workload (-want +got):\n%s", diff)
	}
	if list := pods(t, s, acme.ID, store.WorkloadQuery{}); cmp.Diff([]string{"shop/web-1"}, list) != "" {
		t.Errorf("list = %v", list)
	}
	if _, err := s.Workload(t.Context(), acme.ID, "uid-denied"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a pod that was refused: %v", err)
	}
}

func TestTheNewestAnswerToAContainerCounts(t *testing.T) {
	s := storetest.Start(t)
	acme := organization(t, s, "acme")
	// All in one batch, as etcd refuses a transaction that writes a key twice.
	appended(t, s,
		released(t, acme.ID, "shop", "web", 1, "a c DB s 1", "b c DB s 1"),
		released(t, acme.ID, "shop", "web", 2, "a c DB s 2", "b c DB s 2"),
		released(t, acme.ID, "shop", "web", 3, "b c DB s 3"),
	)
	w, err := s.Workload(t.Context(), acme.ID, "uid-web")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, c := range w.Containers {
		got[c.Name] = c.Envs[0].Version
	}
	if diff := cmp.Diff(map[string]uint64{"a": 2, "b": 3}, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

// A value that is not fresh is told of for as long as a container has it, to whoever opens the store, and not as stale: what the provider has by now is not known.
func TestAWorkloadTellsWhatWasNotFreshWhenItStarted(t *testing.T) {
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
	s := storetest.Open(t, config)
	acme := organization(t, s, "acme")
	vault := provider(t, s, acme.ID, "vault")
	db, err := s.CreateSecret(t.Context(), act, acme.ID, remoteSecret("db", vault.ID, "kv/db"))
	if err != nil {
		t.Fatal(err)
	}
	key := local(t, s, acme.ID, "key", "v")
	api := consumer(t, s, acme.ID, "api", store.Env{Name: "DB", SecretID: "db"}, store.Env{Name: "KEY", SecretID: "key"})
	read := start.Add(-37*time.Minute - 123*time.Millisecond)
	event := func(minute int, container string, readAt time.Time) audit.Event {
		e := released(t, acme.ID, "shop", "web", minute, container+" "+api.ID+" DB "+db.ID+" 0", container+" "+api.ID+" KEY "+key.ID+" 1")
		e.Workload.Released[0].LastKnownGood, e.Workload.Released[0].FetchedAt = !readAt.IsZero(), readAt
		return e
	}
	expect := func(s *store.Store, want map[string]time.Time) {
		t.Helper()
		one, err := s.Workload(t.Context(), acme.ID, "uid-web")
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.Workloads(t.Context(), acme.ID, store.WorkloadQuery{Secret: "db"})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(page.Items, one) {
			got := map[string]time.Time{}
			for _, c := range w.Containers {
				for _, e := range c.Envs {
					if e.LastKnownGood == e.FetchedAt.IsZero() || e.Stale != store.Current {
						t.Errorf("container %s: %+v", c.Name, e)
					}
					if e.LastKnownGood {
						got[c.Name+" "+e.Name] = e.FetchedAt
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("not fresh (-want +got):\n%s", diff)
			}
		}
		if len(page.Items) != 1 {
			t.Errorf("listed %d pods", len(page.Items))
		}
	}
	appended(t, s, event(1, "init", read), event(1, "other", time.Time{}))
	expect(s, map[string]time.Time{"init DB": read})
	expect(storetest.Open(t, config), map[string]time.Time{"init DB": read})
	appended(t, s, event(2, "init", time.Time{}), event(2, "other", read)) // the one is restarted while the provider answers, the other while it does not
	expect(s, map[string]time.Time{"other DB": read})
}

func TestAWorkloadIsStaleWhenAStartNowWouldGiveSomethingElse(t *testing.T) {
	ctx := t.Context()
	s := storetest.Start(t)
	acme := organization(t, s, "acme")
	for _, name := range []string{"same", "newer", "pinned", "repinned", "other", "dropped", "deleted", "toremote"} {
		local(t, s, acme.ID, name, "v1")
	}
	id := func(name string) string {
		secret, err := s.Secret(ctx, acme.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		return secret.ID
	}
	env := func(name string, version uint64) store.Env {
		return store.Env{Name: name, SecretID: name, Version: version}
	}
	api := consumer(t, s, acme.ID, "api", env("same", 0), env("newer", 0), env("pinned", 1), env("repinned", 1), env("other", 0), env("dropped", 0), env("deleted", 0), env("toremote", 0))
	var grants []string
	for _, e := range api.Envs {
		grants = append(grants, "app "+api.ID+" "+e.Name+" "+id(e.Name)+" 1")
	}
	appended(t, s, released(t, acme.ID, "shop", "web", 1, grants...))
	if got := pods(t, s, acme.ID, store.WorkloadQuery{Stale: new(bool)}); len(got) != 1 {
		t.Fatalf("stale at once: %v", got)
	}
	for _, name := range []string{"newer", "pinned", "repinned"} {
		if _, _, err := s.PutVersion(ctx, act, acme.ID, id(name), 0, *secretValue("v2"), true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.UpdateConsumer(ctx, act, acme.ID, api.ID, 0, func(c *store.Consumer) error {
		c.Envs = []store.Env{env("same", 0), env("newer", 0), env("pinned", 1), env("repinned", 2), {Name: "other", SecretID: "same"}, env("deleted", 0), env("toremote", 0)}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSecret(ctx, act, acme.ID, id("deleted"), 0, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateProvider(ctx, act, acme.ID, store.NewProvider{Name: "p", Type: "vault", Config: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateSecret(ctx, act, acme.ID, id("toremote"), 0, func(n *store.Secret) error {
		n.Storage, n.Remote = store.StorageRemote, &store.Remote{ProviderID: "p", Path: "x"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	page, err := s.Workloads(ctx, acme.ID, store.WorkloadQuery{})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	got := map[string]store.Staleness{}
	for _, e := range page.Items[0].Containers[0].Envs {
		got[e.Name] = e.Stale
	}
	want := map[string]store.Staleness{
		"same": store.Current, "newer": store.StaleVersion, "pinned": store.Current, "repinned": store.StaleVersion, "other": store.StaleReference,
		"dropped": store.StaleReference, "deleted": store.StaleDeleted, "toremote": store.StaleStorage,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWorkloadsAreListedByWhatTheyUse(t *testing.T) {
	s := storetest.Start(t)
	acme := organization(t, s, "acme")
	db, mail := local(t, s, acme.ID, "db", "v"), local(t, s, acme.ID, "mail", "v")
	api := consumer(t, s, acme.ID, "api", store.Env{Name: "DB", SecretID: "db"})
	for _, pod := range []string{"b", "a", "c"} {
		appended(t, s, released(t, acme.ID, "shop", pod, 1, "app "+api.ID+" DB "+db.ID+" 1"))
	}
	appended(t, s, released(t, acme.ID, "jobs", "z", 1, "app x MAIL "+mail.ID+" 1", "app x DB "+db.ID+" 7"))
	for name, tc := range map[string]struct {
		q    store.WorkloadQuery
		want []string
	}{
		"all, in order":    {store.WorkloadQuery{}, []string{"jobs/z", "shop/a", "shop/b", "shop/c"}},
		"a namespace":      {store.WorkloadQuery{Namespace: "jobs"}, []string{"jobs/z"}},
		"a pod":            {store.WorkloadQuery{Namespace: "shop", Pod: "b"}, []string{"shop/b"}},
		"another cluster":  {store.WorkloadQuery{Cluster: "eu"}, []string{}},
		"a consumer":       {store.WorkloadQuery{Consumer: "api"}, []string{"shop/a", "shop/b", "shop/c"}},
		"a consumer by id": {store.WorkloadQuery{Consumer: api.ID}, []string{"shop/a", "shop/b", "shop/c"}},
		"a secret":         {store.WorkloadQuery{Secret: "mail"}, []string{"jobs/z"}},
		"a secret by id":   {store.WorkloadQuery{Secret: db.ID}, []string{"jobs/z", "shop/a", "shop/b", "shop/c"}},
		"no such secret":   {store.WorkloadQuery{Secret: "nothing"}, []string{}},
		"stale ones":       {store.WorkloadQuery{Stale: ptr(true)}, []string{"jobs/z"}},
		"current ones":     {store.WorkloadQuery{Stale: ptr(false), Namespace: "shop"}, []string{"shop/a", "shop/b", "shop/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, pods(t, s, acme.ID, tc.q)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var got []string
	q := store.WorkloadQuery{Limit: 1}
	for {
		page, err := s.Workloads(t.Context(), acme.ID, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range page.Items {
			got = append(got, w.Pod)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"z", "a", "b", "c"}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func ptr[T any](v T) *T { return &v }

func TestASecretThatARunningPodHasIsNotDeleted(t *testing.T) {
	ctx := t.Context()
	s := storetest.Start(t)
	acme := organization(t, s, "acme")
	db := local(t, s, acme.ID, "db", "v")
	appended(t, s, released(t, acme.ID, "shop", "web", 1, "app gone DB "+db.ID+" 1"))
	want := []store.Reference{{Kind: "workload", ID: "uid-web", Name: "shop/web", Field: "container app env DB"}}
	refs, err := s.References(ctx, acme.ID, "db")
	if diff := cmp.Diff(want, refs); err != nil || diff != "" {
		t.Errorf("references (-want +got): %v\n%s", err, diff)
	}
	err = s.DeleteSecret(ctx, act, acme.ID, db.ID, 0, false)
	var referenced *store.ReferencedError
	if !errors.As(err, &referenced) || cmp.Diff(want, referenced.References) != "" {
		t.Fatalf("delete: %v", err)
	}
	if err := s.ForgetPods(ctx, "eu", []store.Pod{{Namespace: "shop", Name: "web", UID: "uid-web"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSecret(ctx, act, acme.ID, db.ID, 0, false); !errors.Is(err, store.ErrReferenced) {
		t.Fatalf("after a pod of the same name is gone in another cluster: %v", err)
	}
	if err := s.ForgetPods(ctx, "eu/1", []store.Pod{{Namespace: "shop", Name: "web", UID: "uid-web"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSecret(ctx, act, acme.ID, db.ID, 0, false); err != nil {
		t.Errorf("after the pod is gone: %v", err)
	}
}

// A pod that receives the secret while its deletion is decided is told of, or receives it after the deletion: there is no third way.
func TestNoPodReceivesASecretUnseenByItsDeletion(t *testing.T) {
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
	a, b := storetest.Open(t, config), storetest.Open(t, config)
	acme := organization(t, a, "acme")
	for round := range 20 {
		db := local(t, a, acme.ID, fmt.Sprintf("db-%d", round), "v")
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				id := "other"
				if i == 4 {
					id = db.ID
				}
				if err := b.AppendAudit(context.Background(), []audit.Event{released(t, acme.ID, "shop", fmt.Sprintf("web-%d-%d", round, i), 1, "app c DB "+id+" 1")}); err != nil {
					t.Error(err)
				}
			})
		}
		err := a.DeleteSecret(t.Context(), act, acme.ID, db.ID, 0, false)
		wg.Wait()
		if err != nil && !errors.Is(err, store.ErrReferenced) {
			t.Fatal(err)
		}
		var order []string // newest first
		page, listed := a.AuditEvents(t.Context(), acme.ID, store.AuditQuery{Limit: store.MaxPage})
		if listed != nil {
			t.Fatal(listed)
		}
		for _, e := range page.Items {
			switch {
			case e.Action == audit.SecretDelete && e.ResourceID == db.ID:
				order = append(order, "deleted")
			case e.Workload != nil && e.Workload.Released[0].SecretID == db.ID:
				order = append(order, "received")
			}
		}
		if err == nil && cmp.Diff([]string{"received", "deleted"}, order) != "" {
			t.Fatalf("deleted although a pod had it; newest first: %v", order)
		}
	}
}

func TestPodsAreForgottenInEveryOrganization(t *testing.T) {
	ctx := t.Context()
	s := storetest.Start(t)
	acme, other := organization(t, s, "acme"), organization(t, s, "other")
	var gone []store.Pod
	for i := range 130 { // more than one transaction
		name := fmt.Sprintf("web-%d", i)
		gone = append(gone, store.Pod{Namespace: "shop", Name: name, UID: "uid-" + name})
		appended(t, s, released(t, acme.ID, "shop", name, 1, "app c DB s 1"), released(t, other.ID, "shop", name, 1, "app c DB s 1"))
	}
	appended(t, s, released(t, acme.ID, "shop", "kept", 1, "app c DB s 1"))
	have, err := s.GrantedPods(ctx, "eu/1")
	if err != nil || len(have) != 131 {
		t.Fatalf("%d pods, %v", len(have), err)
	}
	if err := s.ForgetPods(ctx, "eu/1", gone); err != nil {
		t.Fatal(err)
	}
	have, err = s.GrantedPods(ctx, "eu/1")
	if diff := cmp.Diff([]store.Pod{{Namespace: "shop", Name: "kept", UID: "uid-kept"}}, have); err != nil || diff != "" {
		t.Errorf("left (-want +got): %v\n%s", err, diff)
	}
}

func TestAForgedGrantIsNotBelieved(t *testing.T) {
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	acme := organization(t, s, "acme")
	db := local(t, s, acme.ID, "db", "v")
	appended(t, s, released(t, acme.ID, "shop", "true", 1, "app c DB s 1"))
	prefix := store.DefaultPrefix + "grants/"
	resp, err := client.Get(t.Context(), prefix, clientv3.WithPrefix())
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatal(resp, err)
	}
	forged := strings.ReplaceAll(string(resp.Kvs[0].Key), "true", "forged")
	if _, err := client.Put(t.Context(), forged, string(resp.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"shop/true"}, pods(t, s, acme.ID, store.WorkloadQuery{})); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if err := s.DeleteSecret(t.Context(), act, acme.ID, db.ID, 0, false); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("deleting what nobody can tell is unused: %v", err)
	}
	if err := s.DeleteSecret(t.Context(), act, acme.ID, db.ID, 0, true); err != nil {
		t.Errorf("with force: %v", err)
	}
}
