// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

const lastGoodValue = "CANARY-last-good"

var lastGoodPrefix = store.DefaultPrefix + "dynamic/lastgood/"

// remembering is a store with a provider and a secret of it, of which a value is kept.
type remembering struct {
	*store.Store
	etcd     *clientv3.Client
	config   store.Config
	provider store.Provider
	secret   store.Secret
	good     store.LastGood
}

func newRemembering(t *testing.T) *remembering {
	t.Helper()
	client, _ := storetest.Etcd(t)
	r := &remembering{etcd: client, config: store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}}
	r.Store = storetest.Open(t, r.config)
	r.provider = provider(t, r.Store, organization(t, r.Store, "acme").ID, "vault")
	r.secret = r.remote(t, "db", "kv/db")
	r.good = r.of(r.secret)
	r.keep(t, r.good)
	return r
}

func (r *remembering) remote(t *testing.T, name, path string) store.Secret {
	t.Helper()
	s, err := r.CreateSecret(t.Context(), act, r.provider.OrgID, remoteSecret(name, r.provider.ID, path))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *remembering) of(s store.Secret) store.LastGood {
	return store.LastGood{OrgID: s.OrgID, SecretID: s.ID, Remote: *s.Remote, ProviderRevision: r.provider.Revision, SecretRevision: s.Revision, ReadAt: time.Now().UTC().Truncate(time.Millisecond)}
}

func (r *remembering) keep(t *testing.T, g store.LastGood) {
	t.Helper()
	if err := r.KeepLastGood(t.Context(), g, redact.New([]byte(lastGoodValue)), time.Hour); err != nil {
		t.Fatal(err)
	}
}

func (r *remembering) find(t *testing.T) (store.LastGood, string, error) {
	t.Helper()
	g, v, err := r.LastGood(t.Context(), r.secret.OrgID, r.provider.ID, r.secret.ID)
	return g, string(v.Reveal()), err
}

func TestALastGoodValueIsKeptSealedAndEndsByItself(t *testing.T) {
	r := newRemembering(t)
	got, value, err := r.find(t)
	if err != nil || value != lastGoodValue || got.Remote != r.good.Remote || !got.ReadAt.Equal(r.good.ReadAt) || got.ProviderRevision != r.provider.Revision {
		t.Errorf("got %+v, %v", got, err)
	}
	all, err := r.etcd.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range all.Kvs {
		if strings.Contains(string(kv.Value), "CANARY") || strings.Contains(string(kv.Key), "CANARY") {
			t.Errorf("%s holds the value in clear", kv.Key)
		}
		if strings.HasPrefix(string(kv.Key), lastGoodPrefix) && kv.Lease == 0 {
			t.Error("the record would stay for ever")
		}
	}
	again := r.good
	again.ReadAt = again.ReadAt.Add(time.Minute)
	r.keep(t, again)
	leases, err := r.etcd.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Errorf("%d leases after the value was replaced, want 1: %v", len(leases.Leases), err)
	}
	old := r.of(r.remote(t, "other", "kv/other"))
	old.ReadAt = old.ReadAt.Add(-2 * time.Hour)
	r.keep(t, old)
	if _, _, err := r.LastGood(t.Context(), old.OrgID, r.provider.ID, old.SecretID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was too old when it was to be kept: %v", err)
	}
}

func TestOnlyANewerReadReplacesALastGoodValueAndARefusalAlwaysDoes(t *testing.T) {
	r := newRemembering(t)
	older := r.good
	older.ReadAt = older.ReadAt.Add(-time.Second)
	if err := r.KeepLastGood(t.Context(), older, redact.New([]byte("older")), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, value, _ := r.find(t); value != lastGoodValue {
		t.Error("an older read replaced a newer one")
	}
	older.Refused = true // by a replica whose clock is behind
	if err := r.KeepLastGood(t.Context(), older, redact.Value{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	r.keep(t, r.good) // a write of before the refusal that comes late
	if got, value, err := r.find(t); err != nil || !got.Refused || value != "" {
		t.Errorf("after the refusal: %+v, %v", got, err)
	}
	later := r.good
	later.ReadAt = later.ReadAt.Add(time.Second)
	r.keep(t, later)
	if got, value, err := r.find(t); err != nil || got.Refused || value != lastGoodValue {
		t.Errorf("after a read that succeeded: %+v, %v", got, err)
	}
}

func TestEveryChangeOfTheProviderOrTheReferenceEndsALastGoodValue(t *testing.T) {
	revise := func(edit func(*store.Provider), credentials *redact.Value) func(*testing.T, *remembering) error {
		return func(t *testing.T, r *remembering) error {
			_, err := r.ReviseProvider(t.Context(), act, r.provider.OrgID, r.provider.ID, 0, func(p *store.Provider) error { edit(p); return nil }, credentials)
			return err
		}
	}
	for name, change := range map[string]func(*testing.T, *remembering) error{
		"credentials": revise(func(*store.Provider) {}, secretValue(`{"token":"another"}`)),
		"config":      revise(func(p *store.Provider) { p.Config = []byte(`{"address":"https://other.example"}`) }, secretValue(`{"token":"another"}`)),
		"type":        revise(func(p *store.Provider) { p.Type = "other" }, secretValue(`{"token":"another"}`)),
		"prefixes":    revise(func(p *store.Provider) { p.AllowedPrefixes = []string{"kv/other"} }, nil),
		"policy":      revise(func(p *store.Provider) { p.LastKnownGood = &store.LastKnownGood{MaximumAge: time.Hour} }, nil),
		"reference": func(t *testing.T, r *remembering) error {
			_, err := r.UpdateSecret(t.Context(), act, r.secret.OrgID, r.secret.ID, 0, func(s *store.Secret) error { s.Remote.Path = "kv/elsewhere"; return nil })
			return err
		},
		"key": func(t *testing.T, r *remembering) error {
			_, err := r.UpdateSecret(t.Context(), act, r.secret.OrgID, r.secret.ID, 0, func(s *store.Secret) error { s.Remote.Key = "other"; return nil })
			return err
		},
		"the secret is deleted": func(t *testing.T, r *remembering) error {
			return r.DeleteSecret(t.Context(), act, r.secret.OrgID, r.secret.ID, 0, false)
		},
		"the provider is deleted": func(t *testing.T, r *remembering) error {
			if err := r.DeleteSecret(t.Context(), act, r.secret.OrgID, r.secret.ID, 0, false); err != nil {
				return err
			}
			return r.DeleteProvider(t.Context(), act, r.provider.OrgID, r.provider.ID, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemembering(t)
			if err := change(t, r); err != nil {
				t.Fatal(err)
			}
			r.keep(t, r.good) // of a read that began before, and is written down after
			left, err := r.etcd.Get(t.Context(), lastGoodPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
			if err != nil || left.Count != 0 {
				t.Errorf("%d records are left, %v", left.Count, err)
			}
		})
	}
}

func TestALastGoodValueThatWasMovedOrEditedIsNotOpened(t *testing.T) {
	r := newRemembering(t)
	other := r.remote(t, "other", "kv/other")
	kv, err := r.etcd.Get(t.Context(), lastGoodPrefix, clientv3.WithPrefix())
	if err != nil || len(kv.Kvs) != 1 {
		t.Fatal(err)
	}
	key, record := string(kv.Kvs[0].Key), string(kv.Kvs[0].Value)
	if _, err := r.etcd.Put(t.Context(), strings.Replace(key, r.secret.ID, other.ID, 1), record); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.LastGood(t.Context(), other.OrgID, r.provider.ID, other.ID); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("a record of another secret: %v", err)
	}
	for i := range record {
		edited := []byte(record)
		edited[i] ^= 1 << (i % 8)
		if _, err := r.etcd.Put(t.Context(), key, string(edited)); err != nil {
			t.Fatal(err)
		}
		if _, value, err := r.find(t); err == nil || value != "" {
			t.Errorf("byte %d edited: %v", i, err)
		}
	}
	r.keep(t, r.good) // what does not verify is replaced
	if _, value, err := r.find(t); err != nil || value != lastGoodValue {
		t.Errorf("after it was kept again: %v", err)
	}
}

func TestTheAgeOfALastGoodValueIsBounded(t *testing.T) {
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	for age, want := range map[time.Duration]bool{time.Minute: true, 24 * time.Hour: true, time.Second: false, 25 * time.Hour: false, -time.Hour: false} {
		_, err := s.CreateProvider(t.Context(), act, o.ID, store.NewProvider{Name: strings.Trim(age.String(), "-"), Type: "vault", Config: []byte(`{}`), LastKnownGood: &store.LastKnownGood{MaximumAge: age}})
		field, ok := errors.AsType[*store.FieldError](err)
		if (err == nil) != want || !want && (!ok || field.Pointer != "/last_known_good/maximum_age") {
			t.Errorf("%s: %v", age, err)
		}
	}
}
