// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/embedded"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// vault is two organizations with two secrets of two versions each, and a consumer each, and the etcd below them.
type vault struct {
	etcd    *clientv3.Client
	dir     string
	config  store.Config
	store   *store.Store
	orgs    []store.Organization
	secrets []store.Secret
}

func newVault(t *testing.T) *vault {
	t.Helper()
	client, dir := storetest.Etcd(t)
	v := &vault{etcd: client, dir: dir, config: store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}}
	v.store = storetest.Open(t, v.config)
	for _, slug := range []string{"acme", "beta"} {
		o := organization(t, v.store, slug)
		v.orgs = append(v.orgs, o)
		for _, name := range []string{"db", "mail"} {
			secret := local(t, v.store, o.ID, name, slug+name+"1")
			if _, _, err := v.store.PutVersion(t.Context(), act, o.ID, secret.ID, 0, *secretValue(slug + name + "2"), true); err != nil {
				t.Fatal(err)
			}
			v.secrets = append(v.secrets, secret)
		}
		consumer(t, v.store, o.ID, "api", store.Env{Name: "DB", SecretID: "db"})
	}
	return v
}

// keys returns the records under a prefix below the store's.
func (v *vault) records(t *testing.T) map[string]string {
	t.Helper()
	resp, err := v.etcd.Get(t.Context(), store.DefaultPrefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	records := make(map[string]string)
	for _, kv := range resp.Kvs {
		records[string(kv.Key)] = string(kv.Value)
	}
	return records
}

func (v *vault) write(t *testing.T, key, value string) {
	t.Helper()
	if _, err := v.etcd.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// settled returns a view of a store that has seen everything written to etcd before.
func settled(t *testing.T, s *store.Store) *store.View {
	t.Helper()
	if _, err := s.CreateOrganization(t.Context(), act, store.Organization{Slug: "x" + uuid.NewString()}); err != nil {
		t.Fatal(err)
	}
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// resolve returns what the consumer "api" of an organization gets for its ENV, or why not.
func resolve(view *store.View, slug, orgID string) (string, error) {
	c, err := view.FindConsumer(slug, "api")
	if err != nil {
		return "", err
	}
	secret, err := view.FindSecret(orgID, c.Envs[0].SecretID)
	if err != nil {
		return "", err
	}
	value, err := view.OpenVersion(orgID, secret.ID, secret.ActiveVersion)
	return string(value.Reveal()), err
}

func TestATamperedRecordFailsAloneUntilItIsRestored(t *testing.T) {
	v := newVault(t)
	original := v.records(t)
	find := func(parts ...string) string {
		for key := range original {
			if strings.HasPrefix(key, store.DefaultPrefix+strings.Join(parts, "")) {
				return key
			}
		}
		t.Fatalf("no key %v", parts)
		return ""
	}
	acme, beta := v.orgs[0].ID, v.orgs[1].ID
	db, mail := v.secrets[0].ID, v.secrets[1].ID
	version := func(org, secret, number string) string {
		return find("orgs/", org, "/versions/", secret, "/0000000000000000000", number)
	}
	flip := func(s string, bit int) string {
		b := []byte(s)
		b[bit/8] ^= 1 << (bit % 8)
		return string(b)
	}
	targets := map[string]string{
		"organization":  find("orgs/" + acme),
		"slug":          find("slugs/acme"),
		"secret":        find("orgs/", acme, "/secrets/", db),
		"version":       version(acme, db, "2"),
		"consumer":      find("orgs/", acme, "/consumers/"),
		"consumer name": find("orgs/", acme, "/consumernames/"),
	}
	targets["organization"] = store.DefaultPrefix + "orgs/" + acme
	type edit struct{ key, value string }
	cases := map[string]edit{
		"a version swapped with an older one of the secret":   {targets["version"], original[version(acme, db, "1")]},
		"a version swapped with one of another secret":        {targets["version"], original[version(acme, mail, "2")]},
		"a version swapped with one of another organization":  {targets["version"], original[version(beta, v.secrets[2].ID, "2")]},
		"a secret swapped with another":                       {targets["secret"], original[find("orgs/", acme, "/secrets/", mail)]},
		"a consumer swapped with one of another organization": {targets["consumer"], original[find("orgs/", beta, "/consumers/")]},
		"a consumer's binding edited":                         {targets["consumer"], strings.Replace(original[targets["consumer"]], "billing", "attackr", 1)},
		"a slug that points to another organization":          {targets["slug"], original[find("slugs/beta")]},
		"a record of another kind":                            {targets["consumer"], original[targets["secret"]]},
	}
	for name, key := range targets {
		record := original[key]
		cases[name+" emptied"] = edit{key, ""}
		cases[name+" cut by a byte"] = edit{key, record[:len(record)-1]}
		cases[name+" cut to half"] = edit{key, record[:len(record)/2]}
		cases[name+" with a byte more"] = edit{key, record + "\x00"}
		for _, bit := range []int{0, 8 * 10, 8 * 45, 8*len(record) - 1} { // format, tag, payload; bits of the kid are another test
			cases[fmt.Sprintf("%s with bit %d flipped", name, bit)] = edit{key, flip(record, bit)}
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.value == original[c.key] {
				t.Fatal("nothing was changed")
			}
			v.write(t, c.key, c.value)
			reopened, err := store.Open(t.Context(), v.config)
			if err != nil {
				t.Fatal(err)
			}
			storetest.Run(t, reopened)
			for _, s := range []*store.Store{v.store, reopened} {
				view := settled(t, s)
				if got, err := resolve(view, "acme", acme); !errors.Is(err, store.ErrIntegrity) {
					t.Errorf("resolving gave %q, %v", got, err)
				}
				if got, err := resolve(view, "beta", beta); err != nil || got != "betadb2" {
					t.Errorf("resolving what was not touched gave %q, %v", got, err)
				}
				if s.Stats().IntegrityFailures == 0 {
					t.Error("the failure was not counted")
				}
			}
			v.write(t, c.key, original[c.key])
			if got, err := resolve(settled(t, v.store), "acme", acme); err != nil || got != "acmedb2" {
				t.Errorf("after the record was restored: %q, %v", got, err)
			}
		})
	}
}

func TestARemovedRecordIsNotFound(t *testing.T) {
	v := newVault(t)
	for key := range v.records(t) {
		if strings.Contains(key, "/consumernames/") && strings.Contains(key, v.orgs[0].ID) {
			if _, err := v.etcd.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := resolve(settled(t, v.store), "acme", v.orgs[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestAnEditedDroppedOrReorderedAuditEventIsFound(t *testing.T) {
	v := newVault(t)
	org := v.orgs[0].ID
	for i := range 3 {
		if err := v.store.AppendAudit(t.Context(), []audit.Event{{ID: string(rune('a' + i)), OrgID: org}, {OrgID: org}}); err != nil {
			t.Fatal(err)
		}
	}
	original := v.records(t)
	var batches []string
	for key := range original {
		if strings.HasPrefix(key, store.DefaultPrefix+"audit/"+org+"/events/") {
			batches = append(batches, key)
		}
	}
	slices.Sort(batches)
	head := store.DefaultPrefix + "audit/" + org + "/head"
	verify := func() (uint64, error) {
		n, _, err := v.store.VerifyAudit(t.Context(), org)
		return n, err
	}
	if n, err := verify(); err != nil || n != 11 {
		t.Fatalf("verified %d: %v", n, err)
	}
	restore := func() {
		for _, key := range append(batches, head) {
			v.write(t, key, original[key])
		}
	}
	for name, tc := range map[string]struct {
		tamper func(ctx context.Context) error
		event  string
	}{
		"the first one dropped":     {func(ctx context.Context) error { _, err := v.etcd.Delete(ctx, batches[0]); return err }, "event 1:"},
		"one in the middle dropped": {func(ctx context.Context) error { _, err := v.etcd.Delete(ctx, batches[5]); return err }, "event 6:"},
		"the last one dropped":      {func(ctx context.Context) error { _, err := v.etcd.Delete(ctx, batches[len(batches)-1]); return err }, "event 10:"},
		"one edited": {func(ctx context.Context) error {
			_, err := v.etcd.Put(ctx, batches[2], strings.Replace(original[batches[2]], "token:test", "token:tost", 1))
			return err
		}, "event 3:"},
		"two swapped": {func(ctx context.Context) error {
			_, err := v.etcd.Txn(ctx).Then(clientv3.OpPut(batches[3], original[batches[4]]), clientv3.OpPut(batches[4], original[batches[3]])).Commit()
			return err
		}, "event 4:"},
		"the head edited": {func(ctx context.Context) error { _, err := v.etcd.Put(ctx, head, original[head]+" "); return err }, "head"},
	} {
		t.Run(name, func(t *testing.T) {
			defer restore()
			if err := tc.tamper(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := verify(); !errors.Is(err, store.ErrIntegrity) || !strings.Contains(err.Error(), tc.event) {
				t.Errorf("got %v, want %q", err, tc.event)
			}
		})
	}
	if _, err := verify(); err != nil {
		t.Errorf("restored: %v", err)
	}
}

func TestNoValueIsInTheFilesOfEtcd(t *testing.T) {
	const canary = "canary-5f1d8c42b6"
	dir := t.TempDir()
	server, err := embedded.Start(t.Context(), dir, embedded.Options{UnsafeNoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s, err := store.Open(ctx, store.Config{Client: server.Client(), Keys: storetest.Ring(t, storetest.Key(t))})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", canary)
	consumer(t, s, o.ID, "api", store.Env{Name: "DB", SecretID: "db"})
	p := provider(t, s, o.ID, "vault")
	if _, err := s.ReviseProvider(ctx, act, o.ID, p.ID, 0, func(*store.Provider) error { return nil }, secretValue(`{"token":"`+canary+`"}`)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, _, err := s.PutVersion(t.Context(), act, o.ID, secret.ID, 0, *secretValue(canary + strings.Repeat("x", 100*i)), true); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := errors.Join(<-done, server.Close()); err != nil {
		t.Fatal(err)
	}
	files, names := 0, false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(canary)) {
			t.Errorf("%s holds a value", filepath.Base(path))
		}
		names = names || bytes.Contains(content, []byte("secretnames/db"))
		return err
	})
	if err != nil || files == 0 || !names {
		t.Errorf("the search found nothing at all: %d files, %v", files, err)
	}
}
