// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestNamesAreToldOnceThenSyncedThenAsTheyChange(t *testing.T) {
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "plain")
	c := consumer(t, s, o.ID, "api", store.Env{Name: "DB", SecretID: "db"})
	if _, err := s.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changes := make(chan string)
	go func() {
		defer close(changes)
		for c := range s.WatchNames(ctx, "main") {
			text := "synced"
			switch {
			case c.Synced:
			case c.Secret.Name != "" && c.Granted == nil:
				text = "ungranted " + c.Secret.Path()
			case c.Secret.Name != "":
				v, _ := c.View.Version(c.OrgID, c.Granted.ID, c.Granted.ActiveVersion)
				text = c.Secret.String() + ":" + v.NoEnvfile
			case c.Consumer == nil:
				text = "gone " + c.Ref.String()
			default:
				text = c.Ref.String() + " " + c.Consumer.Description
				for _, e := range c.Consumer.Envs {
					secret, _ := c.View.Secret(c.OrgID, e.SecretID)
					v, _ := c.View.Version(c.OrgID, e.SecretID, secret.ActiveVersion)
					text += e.Name + ":" + v.NoEnvfile
				}
			}
			changes <- text
		}
	}()
	want := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			select {
			case got := <-changes:
				if got != text {
					t.Fatalf("got %q, want %q", got, text)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%q was not told", text)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want("acme/api DB:", "synced")
	_, _, err := s.PutVersion(t.Context(), act, o.ID, secret.ID, 0, *secretValue("it's"), true)
	must(err)
	want("acme/api DB:it contains a single quote")
	_, err = s.UpdateConsumer(t.Context(), act, o.ID, c.ID, 0, func(c *store.Consumer) error { c.Name, c.Description = "web", "x "; return nil })
	must(err)
	want("gone acme/api", "acme/web x DB:it contains a single quote")
	must(s.DeleteConsumer(t.Context(), act, o.ID, c.ID, 0))
	want("gone acme/web")

	// A secret is told of while a grant lets pods of the cluster refer to it.
	grant := func(name string, clusters ...string) {
		t.Helper()
		_, err := s.UpdateSecret(t.Context(), act, o.ID, secret.ID, 0, func(x *store.Secret) error {
			x.Name, x.Grants = name, nil
			for _, cluster := range clusters {
				x.Grants = append(x.Grants, store.Binding{Cluster: cluster, Namespace: "shop", ServiceAccount: "web"})
			}
			return nil
		})
		must(err)
	}
	grant("db", "edge")
	grant("db", "edge", "main")
	want("lanyard://acme/db:it contains a single quote")
	_, _, err = s.PutVersion(t.Context(), act, o.ID, secret.ID, 0, *secretValue("plain again"), true)
	must(err)
	want("lanyard://acme/db:")
	grant("database", "edge", "main")
	want("ungranted acme/db", "lanyard://acme/database:")
	must(s.DeleteSecret(t.Context(), act, o.ID, secret.ID, 0, false))
	want("ungranted acme/database")
	_, err = s.UndeleteSecret(t.Context(), act, o.ID, secret.ID, 0)
	must(err)
	want("lanyard://acme/database:")
	grant("database")
	want("ungranted acme/database")

	// What a pod needs to have a secret read depends on its provider.
	p := provider(t, s, o.ID, "vault")
	_, err = s.CreateSecret(t.Context(), act, o.ID, remoteSecret("remote", "vault", "kv/db"))
	must(err)
	consumer(t, s, o.ID, "far", store.Env{Name: "FAR", SecretID: "remote"})
	want("acme/far FAR:")
	revise := func(edit func(*store.Provider)) {
		t.Helper()
		_, err := s.ReviseProvider(t.Context(), act, o.ID, p.ID, 0, func(p *store.Provider) error { edit(p); return nil }, secretValue(`{"token":"x"}`))
		must(err)
	}
	revise(func(p *store.Provider) { p.AllowedPrefixes = []string{"kv"} }) // of no matter
	revise(func(p *store.Provider) { p.Config = json.RawMessage(`{"address":"https://other.example"}`) })
	want("acme/far FAR:")
	stop()
	if text, more := <-changes; more {
		t.Errorf("after the end: %q", text)
	}
}

func TestOldAuditEventsAreDroppedAndTheRestStillVerifies(t *testing.T) {
	for name, config := range map[string]store.Config{
		"beyond the number": {AuditEvents: 5},
		"beyond the age":    {AuditAge: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			config.Client, _ = storetest.Etcd(t)
			config.Keys = storetest.Ring(t, storetest.Key(t))
			s := storetest.Open(t, config)
			o := organization(t, s, "acme")
			event := func(id string, age time.Duration) {
				if err := s.AppendAudit(t.Context(), []audit.Event{{ID: id, OrgID: o.ID, Time: time.Now().Add(-age)}}); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []string{"a", "b", "c", "d"} {
				event(id, 2*time.Hour)
			}
			for _, id := range []string{"e", "f", "g", "h", "i"} {
				event(id, time.Minute)
			}
			for range 2 { // trimming again changes nothing
				s.TrimAudit(t.Context())
				page, err := s.AuditEvents(t.Context(), o.ID, store.AuditQuery{})
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, e := range page.Items {
					ids = append(ids, e.ID)
				}
				if diff := cmp.Diff([]string{"i", "h", "g", "f", "e"}, ids); diff != "" {
					t.Error(diff)
				}
				if n, _, err := s.VerifyAudit(t.Context(), o.ID); err != nil || n != 5 {
					t.Errorf("verified %d: %v", n, err)
				}
			}
			event("j", 0)
			if n, _, err := s.VerifyAudit(t.Context(), o.ID); err != nil || n != 6 {
				t.Errorf("verified %d: %v", n, err)
			}
		})
	}
}
