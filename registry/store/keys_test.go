// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/envelope"
	"github.com/lanyard-dev/lanyard/registry/envelope/keydir"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// ring is a key ring that can be replaced, as a directory's is.
type ring struct{ current atomic.Pointer[envelope.Ring] }

func newRing(r *envelope.Ring) *ring {
	k := new(ring)
	k.current.Store(r)
	return k
}

func (k *ring) Primary() envelope.KID                    { return k.current.Load().Primary() }
func (k *ring) KIDs() []envelope.KID                     { return k.current.Load().KIDs() }
func (k *ring) KeyCheck(id envelope.KID) ([]byte, error) { return k.current.Load().KeyCheck(id) }
func (k *ring) VerifyKeyCheck(id envelope.KID, b []byte) error {
	return k.current.Load().VerifyKeyCheck(id, b)
}
func (k *ring) Derive(purpose string) [32]byte { return k.current.Load().Derive(purpose) }
func (k *ring) SealRecord(key, kind string, payload []byte) []byte {
	return k.current.Load().SealRecord(key, kind, payload)
}
func (k *ring) OpenRecord(key, kind string, record []byte) ([]byte, error) {
	return k.current.Load().OpenRecord(key, kind, record)
}
func (k *ring) Seal(c envelope.Context, plain []byte) ([]byte, error) {
	return k.current.Load().Seal(c, plain)
}
func (k *ring) Open(c envelope.Context, sealed []byte) ([]byte, error) {
	return k.current.Load().Open(c, sealed)
}

func TestAStoreIsOpenedOnlyWithWhatBelongsToIt(t *testing.T) {
	client, _ := storetest.Etcd(t)
	key, other := storetest.Key(t), storetest.Key(t)
	prefix := func(name string) string { return "/" + name + "/" }
	written := func(name string) store.Config { // a prefix with an organization in it
		config := store.Config{Client: client, Prefix: prefix(name), Keys: storetest.Ring(t, key)}
		organization(t, storetest.Open(t, config), "acme")
		return config
	}
	del := func(key string, opts ...clientv3.OpOption) {
		t.Helper()
		if resp, err := client.Delete(t.Context(), key, opts...); err != nil || resp.Deleted == 0 {
			t.Fatalf("deleting %q: %v", key, err)
		}
	}
	count := func(name string) int64 {
		resp, err := client.Get(t.Context(), prefix(name), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Count
	}
	t.Run("with another key it is not ready and says which one is missing", func(t *testing.T) {
		config := written("other")
		before := count("other")
		config.Keys = storetest.Ring(t, other)
		s := storetest.Open(t, config)
		for what, err := range map[string]error{
			"Ready":  s.Ready(),
			"View":   second(s.View(t.Context())),
			"Secret": second(s.Organization(t.Context(), "acme")),
			"write":  second(s.CreateOrganization(t.Context(), act, store.Organization{Slug: "beta"})),
		} {
			if !errors.Is(err, store.ErrKey) || !strings.Contains(err.Error(), key.KID().String()) {
				t.Errorf("%s: got %v, want the missing key %s", what, err, key.KID())
			}
		}
		if after := count("other"); after != before {
			t.Errorf("%d records became %d", before, after)
		}
	})
	t.Run("with the key as a secondary one it is ready, and the primary is noted", func(t *testing.T) {
		config := written("secondary")
		config.Keys = storetest.Ring(t, other, key)
		s := storetest.Open(t, config)
		organization(t, s, "beta")
		if _, err := s.Organization(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
		config.Keys = storetest.Ring(t, key)
		s = storetest.Open(t, config)
		if err := s.Ready(); !errors.Is(err, store.ErrKey) || !strings.Contains(err.Error(), other.KID().String()) {
			t.Errorf("without the new primary: %v", err)
		}
	})
	t.Run("without key checks it is refused", func(t *testing.T) {
		config := written("unchecked")
		del(prefix("unchecked")+"keys/", clientv3.WithPrefix())
		if _, err := store.Open(t.Context(), config); !errors.Is(err, store.ErrForeign) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without schema it is refused", func(t *testing.T) {
		config := written("schemaless")
		del(prefix("schemaless") + "schema")
		if _, err := store.Open(t.Context(), config); !errors.Is(err, store.ErrForeign) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("somebody else's data is not initialized over", func(t *testing.T) {
		if _, err := client.Put(t.Context(), prefix("foreign")+"zzz", "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), store.Config{Client: client, Prefix: prefix("foreign"), Keys: storetest.Ring(t, key)}); !errors.Is(err, store.ErrForeign) {
			t.Errorf("got %v", err)
		}
		if n := count("foreign"); n != 1 {
			t.Errorf("there are %d keys now", n)
		}
	})
	t.Run("a newer schema is refused", func(t *testing.T) {
		config := written("newer")
		name := prefix("newer") + "schema"
		record := storetest.Ring(t, key).SealRecord(name, "schema", []byte(`{"current":3,"min_reader":2,"min_writer":3}`))
		if _, err := client.Put(t.Context(), name, string(record)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), config); !errors.Is(err, store.ErrSchema) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a newer schema that this release may read and write is used", func(t *testing.T) {
		config := written("compatible")
		name := prefix("compatible") + "schema"
		record := storetest.Ring(t, key).SealRecord(name, "schema", []byte(`{"current":2,"min_reader":1,"min_writer":1}`))
		if _, err := client.Put(t.Context(), name, string(record)); err != nil {
			t.Fatal(err)
		}
		organization(t, storetest.Open(t, config), "beta")
	})
	t.Run("a tampered key check is not ready", func(t *testing.T) {
		config := written("tampered")
		if _, err := client.Put(t.Context(), prefix("tampered")+"keys/"+key.KID().String(), "garbage"); err != nil {
			t.Fatal(err)
		}
		if err := storetest.Open(t, config).Ready(); !errors.Is(err, store.ErrKey) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAStoreRecoversWhenTheMissingKeyComes(t *testing.T) {
	client, _ := storetest.Etcd(t)
	key, other := storetest.Key(t), storetest.Key(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, key)}
	o := organization(t, storetest.Open(t, config), "acme")

	keys := newRing(storetest.Ring(t, other))
	config.Keys = keys
	s := storetest.Open(t, config)
	if err := s.Ready(); !errors.Is(err, store.ErrKey) {
		t.Fatalf("got %v", err)
	}
	keys.current.Store(storetest.Ring(t, key))
	eventually(t, func() bool { return s.Ready() == nil })
	local(t, s, o.ID, "db", "v")
}

func TestARotationThatReachesOneReplicaFirstStopsTheOtherUntilItHasTheKey(t *testing.T) {
	client, _ := storetest.Etcd(t)
	old, next := storetest.Key(t), storetest.Key(t)
	early, late := newRing(storetest.Ring(t, old)), newRing(storetest.Ring(t, old))
	a := storetest.Open(t, store.Config{Client: client, Keys: early})
	b := storetest.Open(t, store.Config{Client: client, Keys: late})
	o := organization(t, a, "acme")

	early.current.Store(storetest.Ring(t, next, old))
	secret := local(t, a, o.ID, "db", "v")
	eventually(t, func() bool { return errors.Is(b.Ready(), store.ErrKey) })
	if err := b.Ready(); !strings.Contains(err.Error(), next.KID().String()) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Secret(t.Context(), o.ID, "db"); !errors.Is(err, store.ErrKey) {
		t.Errorf("reading without the key: %v", err)
	}
	late.current.Store(storetest.Ring(t, old, next))
	eventually(t, func() bool { return b.Ready() == nil })
	if got, err := b.Secret(t.Context(), o.ID, "db"); err != nil || got.ID != secret.ID {
		t.Errorf("got %v", err)
	}
}

var (
	_ store.Keys = (*keydir.Keyring)(nil)
	_ store.Keys = (*envelope.Ring)(nil)
)

func second[T any](_ T, err error) error { return err }
