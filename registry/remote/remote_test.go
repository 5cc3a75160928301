// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// replica is a registry's store and providers.
type replica struct {
	store     *store.Store
	providers *remote.Providers
	book      remote.Book // if not nil, in place of the store
}

// replicas starts n of them on one etcd.
func replicas(t *testing.T, n int) []*replica {
	t.Helper()
	client, _ := storetest.Etcd(t)
	keys := storetest.Ring(t, storetest.Key(t))
	var all []*replica
	for range n {
		r := new(replica)
		var err error
		r.providers, err = remote.New(provider.Config{
			Types: []provider.Type{vault.Type()}, Timeout: 2 * time.Second,
			Host: provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		}, func(ctx context.Context) (remote.View, error) { return r.store.View(ctx) }, func() remote.Book {
			if r.book != nil {
				return r.book
			}
			return r.store
		})
		if err != nil {
			t.Fatal(err)
		}
		r.store = storetest.Open(t, store.Config{Client: client, Keys: keys, Providers: r.providers})
		t.Cleanup(func() { _ = r.providers.Close() })
		all = append(all, r)
	}
	return all
}

func config(s *vaulttest.Server) json.RawMessage {
	raw, _ := json.Marshal(map[string]any{"address": s.Address(), "ca_bundle": s.CABundle(), "auth": map[string]any{"method": "approle", "role_id": "r"}})
	return raw
}

func credentials(secretID string) *redact.Value {
	v := redact.New(fmt.Appendf(nil, `{"secret_id":%q}`, secretID))
	return &v
}

// organization makes one with a provider.
func (r *replica) organization(t *testing.T, s *vaulttest.Server) store.Provider {
	t.Helper()
	o, err := r.store.CreateOrganization(t.Context(), storetest.Act, store.Organization{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.store.CreateProvider(t.Context(), storetest.Act, o.ID, store.NewProvider{Name: "vault", Type: "vault", Config: config(s), Credentials: credentials("one")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *replica) fetch(t *testing.T, p store.Provider, path, key string) (string, error) {
	t.Helper()
	f := r.providers.Begin(nil, true, nil)
	defer f.End(true)
	v, err := f.Fetch(t.Context(), store.Secret{OrgID: p.OrgID, Remote: &store.Remote{ProviderID: p.ID, Path: path, Key: key}})
	return string(v.Value.Reveal()), err
}

func TestAnEditedProviderIsUsedByTheNextReadOfEveryReplica(t *testing.T) {
	r := replicas(t, 2)
	first, second := vaulttest.New(t), vaulttest.New(t)
	first.Put("kv/db", `{"v":"of the first"}`)
	second.Put("kv/db", `{"v":"of the second"}`)
	p := r[0].organization(t, first)
	for i := range r {
		if got, err := r[i].fetch(t, p, "kv/db", "v"); err != nil || got != "of the first" {
			t.Fatalf("replica %d: %q, %v", i, got, err)
		}
	}
	revise := func(config json.RawMessage, secretID string) {
		t.Helper()
		_, err := r[0].store.ReviseProvider(t.Context(), storetest.Act, p.OrgID, p.ID, 0, func(p *store.Provider) error { p.Config = config; return nil }, credentials(secretID))
		if err != nil {
			t.Fatal(err)
		}
	}

	revise(config(second), "one")
	for i := range r {
		if got, err := r[i].fetch(t, p, "kv/db", "v"); err != nil || got != "of the second" {
			t.Errorf("replica %d, another address: %q, %v", i, got, err)
		}
	}
	second.Change(func(s *vaulttest.State) {
		if s.Logins != 2 || s.LoginBody["secret_id"] != "one" {
			t.Errorf("%d logins at the new address, want one of each replica: a token from elsewhere may have been used", s.Logins)
		}
	})

	revise(config(second), "wrong")
	for i := range r {
		_, err := r[i].fetch(t, p, "kv/db", "v")
		failed, ok := errors.AsType[*resolve.FetchError](err)
		if !ok || failed.Code != wire.CodeProviderDenied || failed.Reason != "credentials" || failed.Provider != "vault" {
			t.Errorf("replica %d used the token of the credentials before: %v", i, err)
		}
	}
	revise(config(second), "two")
	if got, err := r[1].fetch(t, p, "kv/db", "v"); err != nil || got != "of the second" {
		t.Errorf("new credentials: %q, %v", got, err)
	}

	if err := r[0].store.DeleteProvider(t.Context(), storetest.Act, p.OrgID, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	for i := range r {
		_, err := r[i].fetch(t, p, "kv/db", "v")
		if failed, ok := errors.AsType[*resolve.FetchError](err); !ok || failed.Code != wire.CodeProviderNotFound || failed.Reason != "provider_missing" {
			t.Errorf("replica %d: a deleted provider: %v", i, err)
		}
	}
}

func TestFailuresKeepTheirCodeReasonAndMessage(t *testing.T) {
	r := replicas(t, 1)[0]
	s := vaulttest.New(t)
	s.Put("kv/db", `{"v":"x","large":"`+strings.Repeat("x", wire.MaxValueBytes+1)+`"}`)
	s.Put("kv/denied", `{"v":"x"}`)
	s.Change(func(s *vaulttest.State) { s.Denied["kv/denied"] = true })
	p := r.organization(t, s)
	for name, tc := range map[string]struct {
		path, key string
		code      wire.Code
		reason    string
	}{
		"denied":         {"kv/denied", "v", wire.CodeProviderDenied, "permission"},
		"no path":        {"kv/nothing", "v", wire.CodeProviderNotFound, "path_missing"},
		"no key":         {"kv/db", "w", wire.CodeProviderNotFound, "key_missing"},
		"too large":      {"kv/db", "large", wire.CodeUnrepresentable, "value_too_large"},
		"a path in vain": {"sys/health", "v", wire.CodeProviderInvalid, "reference"},
	} {
		_, err := r.fetch(t, p, tc.path, tc.key)
		failed, ok := errors.AsType[*resolve.FetchError](err)
		if !ok || failed.Code != tc.code || failed.Reason != tc.reason || failed.Message == "" || failed.Provider != "vault" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o := r.providers.Check(t.Context(), p.OrgID, p.ID); o != (resolve.Outcome{}) {
		t.Errorf("checking a good provider: %+v", o)
	}
	if o := r.providers.Check(t.Context(), p.OrgID, "nothing"); o.Code != wire.CodeProviderNotFound || o.Reason != "provider_missing" {
		t.Errorf("checking no provider: %+v", o)
	}
}

// The messages of Validate begin with the field they are about; here is every field of Vault's.
func TestRulesPointToTheirField(t *testing.T) {
	r := replicas(t, 1)[0]
	for config, want := range map[string]string{
		`{"adrs":"x"}`:                                                                                       "/config",
		`{"address":"http://vault"}`:                                                                         "/config/address",
		`{"address":"https://vault","ca_bundle":"x"}`:                                                        "/config/ca_bundle",
		`{"address":"https://vault","namespace":"a//b"}`:                                                     "/config/namespace",
		`{"address":"https://vault","auth":{"method":"token","mount":"a//b"}}`:                               "/config/auth/mount",
		`{"address":"https://vault","auth":{"method":"magic"}}`:                                              "/config/auth/method",
		`{"address":"https://vault","auth":{"method":"approle"}}`:                                            "/config/auth/role_id",
		`{"address":"https://vault","auth":{"method":"kubernetes"}}`:                                         "/config/auth/role",
		`{"address":"https://vault","auth":{"method":"kubernetes","role":"r"}}`:                              "/config/auth/method",
		`{"address":"https://vault","auth":{"method":"token"}}`:                                              "/credentials/token",
		`{"address":"https://vault","auth":{"method":"token"},"mounts":[{"path":"kv","engine":"kv-v3"}]}`:    "/config/mounts/0/engine",
		`{"address":"https://vault","auth":{"method":"token"},"mounts":[{"path":"sys/x","engine":"kv-v1"}]}`: "/config/mounts/0/path",
	} {
		err := r.providers.CheckProvider(store.Provider{Name: "p", Type: "vault", Config: json.RawMessage(config)}, redact.Value{})
		if e, ok := errors.AsType[*store.FieldError](err); !ok || e.Pointer != want || e.Message == "" || strings.HasPrefix(e.Message, "config") {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
	err := r.providers.CheckProvider(store.Provider{Type: "vault", Config: json.RawMessage(`{"address":"https://vault"}`), AllowedPrefixes: []string{"kv", "a//b"}}, redact.Value{})
	if e, ok := errors.AsType[*store.FieldError](err); !ok || e.Pointer != "/allowed_prefixes/1" {
		t.Errorf("got %v", err)
	}
	if err := r.providers.CheckProvider(store.Provider{Type: "shoebox"}, redact.Value{}); err == nil || strings.Contains(err.Error(), "shoebox") || !strings.Contains(err.Error(), "vault") {
		t.Errorf("an unknown type: %v", err)
	}
}

// Both spellings of a path of KV version 2 are within both spellings of a prefix; what is outside in every reading is refused when it is written.
func TestReferencesAreHeldToThePrefixes(t *testing.T) {
	r := replicas(t, 1)[0]
	for _, tc := range []struct {
		prefix, path string
		want         bool
	}{
		{"kv/prod", "kv/prod/db", true}, {"kv/prod", "kv/data/prod/db", true}, {"kv/data/prod", "kv/prod/db", true}, {"kv/prod/", "kv/prod/db", true},
		{"kv/prod", "kv/production/db", false}, {"kv/prod", "kv/data/production", false}, {"kv/prod", "other/prod/db", false}, {"kv/prod", "kv/prod/../x", false},
	} {
		err := r.providers.CheckRemote(store.Provider{Type: "vault", AllowedPrefixes: []string{tc.prefix}}, store.Remote{Path: tc.path})
		if (err == nil) != tc.want {
			t.Errorf("%s within %s: %v", tc.path, tc.prefix, err)
		}
		if e, ok := errors.AsType[*store.FieldError](err); !tc.want && (!ok || e.Pointer != "/remote_path") {
			t.Errorf("%s within %s: %v", tc.path, tc.prefix, err)
		}
	}
	if err := r.providers.CheckRemote(store.Provider{Type: "vault"}, store.Remote{Path: "anywhere/at/all", Version: "3"}); err != nil {
		t.Errorf("no prefixes: %v", err)
	}
}
