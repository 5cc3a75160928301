// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/providertest"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

var loopback = provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}

// record returns the record of a provider that logs in to s with an AppRole; change may change it.
func record(t testing.TB, s *vaulttest.Server, change func(*vault.Config, *vault.Credentials)) provider.Record {
	t.Helper()
	config := vault.Config{Address: s.Address(), CABundle: s.CABundle(), Auth: vault.Auth{Method: vault.MethodAppRole, RoleID: "role"}}
	credentials := vault.Credentials{SecretID: "secret-id"}
	if change != nil {
		change(&config, &credentials)
	}
	return provider.Record{ID: "p1", Name: "vault-prod", Type: vault.Name, Config: marshal(t, config), Credentials: redact.New(marshal(t, credentials)), Revision: 1}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func open(t testing.TB, r provider.Record) *vault.Vault {
	t.Helper()
	v, err := vault.Open(r, loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func TestConformance(t *testing.T) {
	for name, tc := range map[string]struct {
		mount string
		serve func(testing.TB) *vaulttest.Server
	}{
		"KV version 2":                       {"kv/", vaulttest.New},
		"KV version 2 over HTTP/2":           {"kv/", vaulttest.NewHTTP2},
		"KV version 2 with data in the path": {"kv/data/", vaulttest.New},
		"KV version 1":                       {"kv1/", vaulttest.New},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, func(t *testing.T) providertest.Harness { return harness(t, tc.serve(t), tc.mount) })
		})
	}
}

func harness(t *testing.T, s *vaulttest.Server, mount string) providertest.Harness {
	kept := func(path string) string { // as the server knows it
		if mount == "kv/data/" {
			return "kv/" + path[len(mount):]
		}
		return path
	}
	s.Put(kept(mount+"denied"), `{"a":"1"}`)
	s.Change(func(st *vaulttest.State) { st.Denied[kept(mount+"denied")] = true })
	fault := func(f func(http.ResponseWriter, *http.Request) bool) func() {
		s.Change(func(st *vaulttest.State) { st.Fault = f })
		return func() { s.Change(func(st *vaulttest.State) { st.Fault = nil }) }
	}
	return providertest.Harness{
		Type: vault.Type(), Host: loopback, Record: record(t, s, nil),
		Path:   func(name string) string { return mount + name },
		Put:    func(_ *testing.T, path, object string) { s.Put(kept(path), object) },
		Denied: mount + "denied",
		Throttle: func(*testing.T) func() {
			return fault(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			})
		},
		Break: func(*testing.T) func() {
			return fault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
		},
		Stall: func(t *testing.T) func() {
			ended, end := context.WithCancel(context.Background())
			t.Cleanup(end)
			undo := fault(func(_ http.ResponseWriter, r *http.Request) bool {
				select {
				case <-ended.Done():
				case <-r.Context().Done():
				}
				return true
			})
			return func() { undo(); end() }
		},
		EndTokens: func(*testing.T) {
			s.Change(func(st *vaulttest.State) { st.Tokens = map[string]time.Time{} })
		},
	}
}
