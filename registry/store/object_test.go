// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestAnOrganizationKeepsItsSlug(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	update := func(expect int64, edit func(*store.Organization)) (store.Organization, error) {
		return s.UpdateOrganization(ctx, act, o.ID, expect, func(o *store.Organization) error { edit(o); return nil })
	}
	got, err := update(o.Revision, func(o *store.Organization) { o.DisplayName = "Acme" })
	if err != nil || got.DisplayName != "Acme" || got.Revision == o.Revision {
		t.Fatalf("got %+v, %v", got, err)
	}
	if same, err := update(got.Revision, func(o *store.Organization) { o.DisplayName = "Acme" }); err != nil || same.Revision != got.Revision {
		t.Errorf("an update without a change wrote something: %v", err)
	}
	if _, err := update(o.Revision, func(*store.Organization) {}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("with an old revision: %v", err)
	}
	if _, err := update(0, func(o *store.Organization) { o.Slug = "other" }); pointer(err) != "/slug" {
		t.Errorf("changing the slug: %v", err)
	}
	if _, err := update(0, func(o *store.Organization) { o.DisplayName = strings.Repeat("x", 256) }); pointer(err) != "/display_name" {
		t.Errorf("a long display name: %v", err)
	}
	for _, slug := range []string{"zeta", "beta"} {
		organization(t, s, slug)
	}
	var slugs []string
	for q := (store.Query{Limit: 2}); ; {
		page, err := s.Organizations(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Items {
			slugs = append(slugs, o.Slug)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"acme", "beta", "zeta"}, slugs); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Organizations(ctx, store.Query{Limit: store.MaxPage + 1}); pointer(err) != "/page_size" {
		t.Errorf("a page too large: %v", err)
	}
}

func TestPinnedVersionsExistAndAreNotDestroyed(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "one")
	if _, _, err := s.PutVersion(ctx, act, o.ID, secret.ID, 0, *secretValue("two"), true); err != nil {
		t.Fatal(err)
	}
	provider(t, s, o.ID, "p")
	if _, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "remote", Remote: &store.Remote{ProviderID: "p", Path: "x"}}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		env  store.Env
		want string
	}{
		"no such secret":                   {store.Env{Name: "A", SecretID: "nope"}, "/envs/0/secret"},
		"no such version":                  {store.Env{Name: "A", SecretID: "db", Version: 3}, "/envs/0/version"},
		"a version of a remote secret":     {store.Env{Name: "A", SecretID: "remote", Version: 1}, "/envs/0/version"},
		"a secret of another organization": {store.Env{Name: "A", SecretID: local(t, s, organization(t, s, "beta").ID, "x", "v").ID}, "/envs/0/secret"},
	} {
		if _, err := s.CreateConsumer(ctx, act, o.ID, store.Consumer{Name: "c", Kind: store.ConsumerHook, Envs: []store.Env{tc.env}}); pointer(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := consumer(t, s, o.ID, "api", store.Env{Name: "A", SecretID: "db", Version: 1}, store.Env{Name: "B", SecretID: "remote"})
	if _, err := s.DestroyVersion(ctx, act, o.ID, secret.ID, 0, 1); !errors.Is(err, store.ErrReferenced) {
		t.Errorf("destroying a pinned version: %v", err)
	}
	if _, err := s.UpdateConsumer(ctx, act, o.ID, c.ID, c.Revision, func(c *store.Consumer) error { c.Envs = c.Envs[1:]; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DestroyVersion(ctx, act, o.ID, secret.ID, 0, 1); err != nil {
		t.Error(err)
	}
	if _, err := s.UpdateConsumer(ctx, act, o.ID, c.ID, 0, func(c *store.Consumer) error {
		c.Envs = append(c.Envs, store.Env{Name: "A", SecretID: "db", Version: 1})
		return nil
	}); pointer(err) != "/envs/1/version" {
		t.Errorf("pinning a destroyed version: %v", err)
	}
	page, err := s.Consumers(ctx, o.ID, store.Query{Search: "AP"})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != c.ID {
		t.Errorf("got %+v, %v", page, err)
	}
}

func TestWhatACallerChangesStaysWithTheCaller(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	o := organization(t, s, "acme")
	labels := map[string]string{"team": "a"}
	secret, err := s.CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "db", Labels: labels, Value: secretValue("v")})
	if err != nil {
		t.Fatal(err)
	}
	labels["team"], secret.Labels["team"] = "b", "c"
	got, _ := s.Secret(ctx, o.ID, "db")
	got.Labels["team"] = "d"
	c := consumer(t, s, o.ID, "api", store.Env{Name: "A", SecretID: "db"})
	c.Envs[0].Name, c.Bindings[0].Namespace = "B", "other"
	page, _ := s.Consumers(ctx, o.ID, store.Query{})
	page.Items[0].Envs[0].SecretID = "other"
	if _, err := s.UpdateConsumer(ctx, act, o.ID, c.ID, 0, func(c *store.Consumer) error {
		c.Envs[0].Name = "C"
		return errors.New("changed my mind")
	}); err == nil {
		t.Error("the caller's error was lost")
	}
	now, _ := s.Secret(ctx, o.ID, "db")
	then, _ := s.Consumer(ctx, o.ID, "api")
	if now.Labels["team"] != "a" || then.Envs[0].Name != "A" || then.Envs[0].SecretID != secret.ID || then.Bindings[0].Namespace != "billing" {
		t.Errorf("got %+v and %+v", now, then)
	}
}

func TestTheLogNamesKeysAndNoValues(t *testing.T) {
	const canary = "canary-91b2"
	var log bytes.Buffer
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), Log: slog.New(slog.NewJSONHandler(&log, nil))}
	s, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("", func(t *testing.T) {
		storetest.Run(t, s)
		o := organization(t, s, "acme")
		secret := local(t, s, o.ID, "db", canary)
		if _, err := client.Put(t.Context(), store.DefaultPrefix+"orgs/"+o.ID+"/secrets/"+secret.ID, canary+"garbage"); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
	})
	if text := log.String(); !strings.Contains(text, "record does not verify") || strings.Contains(text, canary) {
		t.Errorf("got %s", text)
	}
}
