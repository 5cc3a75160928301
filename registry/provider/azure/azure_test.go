// SPDX-License-Identifier: Apache-2.0

package azure_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/azure"
	"github.com/lanyard-dev/lanyard/registry/provider/azure/azuretest"
	"github.com/lanyard-dev/lanyard/registry/provider/providertest"
)

const pinned = "0123456789abcdef0123456789abcdef"

var loopback = provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}

// record returns the record of a provider that reads from s with a client secret; change may change it.
func record(t testing.TB, s *azuretest.Server, change func(*azure.Config, *azure.Credentials)) provider.Record {
	t.Helper()
	config := azure.Config{Address: s.Address(), CABundle: s.CABundle(), Auth: azure.Auth{
		Method: azure.MethodClientSecret, TenantID: azuretest.Tenant, ClientID: azuretest.Client, Authority: s.Address(),
	}}
	credentials := azure.Credentials{ClientSecret: azuretest.ClientSecret}
	if change != nil {
		change(&config, &credentials)
	}
	return provider.Record{ID: "p1", Name: "azure-prod", Type: azure.Name, Config: marshal(t, config), Credentials: redact.New(marshal(t, credentials)), Revision: 1}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func open(t testing.TB, r provider.Record, host provider.Host) *azure.KeyVault {
	t.Helper()
	k, err := azure.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func TestConformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := azuretest.New(t)
		s.Put("denied", pinned, `{"a":"1"}`)
		s.Change(func(st *azuretest.State) { st.Denied["denied"] = "ForbiddenByRbac" })
		fault := func(f func(http.ResponseWriter, *http.Request) bool) func() {
			s.Change(func(st *azuretest.State) { st.Fault = f })
			return func() { s.Change(func(st *azuretest.State) { st.Fault = nil }) }
		}
		return providertest.Harness{
			Type: azure.Type(), Host: loopback, Record: record(t, s, nil), Text: true,
			Path:   func(name string) string { return strings.ReplaceAll(name, "/", "-") },
			Put:    func(_ *testing.T, path, object string) { s.Put(path, pinned, object) },
			Denied: "denied",
			Throttle: func(*testing.T) func() {
				return fault(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Retry-After", "1")
					azuretest.Fail(w, http.StatusTooManyRequests, "Throttled", "")
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
			EndTokens: func(*testing.T) { s.Change(func(st *azuretest.State) { st.Tokens = map[string]bool{} }) },
		}
	})
}

func TestReads(t *testing.T) {
	s := azuretest.New(t)
	s.Put("db", strings.Repeat("a", 32), "old")
	s.Put("db", pinned, "-----BEGIN-----\n  new\n")
	s.Put("off", pinned, "x")
	s.Put("walled", pinned, "x")
	s.Change(func(st *azuretest.State) {
		st.Denied["off"], st.Denied["walled"] = "SecretDisabled", "ForbiddenByFirewall"
	})
	k := open(t, record(t, s, nil), loopback)
	for name, tc := range map[string]struct {
		ref    provider.Ref
		want   string
		kind   provider.Kind
		reason provider.Reason
	}{
		"text that is no JSON comes unchanged": {ref: provider.Ref{Path: "db"}, want: "-----BEGIN-----\n  new\n"},
		"a pinned version":                     {ref: provider.Ref{Path: "db", Version: strings.Repeat("a", 32)}, want: "old"},
		"a version there is not":               {ref: provider.Ref{Path: "db", Version: strings.Repeat("b", 32)}, kind: provider.KindNotFound, reason: provider.ReasonVersion},
		"a disabled version":                   {ref: provider.Ref{Path: "off"}, kind: provider.KindNotFound, reason: provider.ReasonVersion},
		"a firewall":                           {ref: provider.Ref{Path: "walled"}, kind: provider.KindDenied, reason: provider.ReasonPermission},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := k.Read(t.Context(), tc.ref)
			if tc.kind != 0 {
				if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != tc.kind || e.Reason != tc.reason || strings.Contains(err.Error(), "quoting") {
					t.Errorf("error = %v, want %v (%s)", err, tc.kind, tc.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v, err := doc.Value(""); err != nil || string(v.Reveal()) != tc.want {
				t.Errorf("value = %q, %v", v.Reveal(), err)
			}
		})
	}
	s.Change(func(st *azuretest.State) {
		if st.Logins != 1 || st.Form.Get("scope") != "https://vault.azure.net/.default" {
			t.Errorf("%d logins, the last for %q; want one for Key Vault", st.Logins, st.Form.Get("scope"))
		}
	})
}

func TestHostileAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		fault  http.HandlerFunc
		kind   provider.Kind
		reason provider.Reason
	}{
		"no JSON":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>secret")) }, provider.KindInvalid, provider.ReasonAnswer},
		"another JSON":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"value":["secret"]}`)) }, provider.KindInvalid, provider.ReasonAnswer},
		"no value":            {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }, provider.KindInvalid, provider.ReasonNull},
		"bytes that are bad":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{\"value\":\"\xff\"}")) }, provider.KindInvalid, provider.ReasonAnswer},
		"an endless answer":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, provider.MaxAnswer+1)) }, provider.KindInvalid, provider.ReasonAnswerTooLarge},
		"a redirect":          {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, provider.KindUnavailable, provider.ReasonRedirect},
		"a token never good":  {func(w http.ResponseWriter, _ *http.Request) { azuretest.Fail(w, 401, "Unauthorized", "") }, provider.KindDenied, provider.ReasonCredentials},
		"a broken connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provider.KindUnavailable, provider.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			s := azuretest.New(t)
			s.Change(func(st *azuretest.State) {
				st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPost {
						return false
					}
					tc.fault(w, r)
					return true
				}
			})
			_, err := open(t, record(t, s, nil), loopback).Read(t.Context(), provider.Ref{Path: "db"})
			e, ok := errors.AsType[*provider.Error](err)
			if !ok || e.Kind != tc.kind || e.Reason != tc.reason {
				t.Fatalf("error = %v, want %v (%s)", err, tc.kind, tc.reason)
			}
			if strings.Contains(err.Error(), "secret") && strings.Contains(err.Error(), "html") || strings.Contains(err.Error(), "quoting") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}

func TestWrongCredentialsAreDenied(t *testing.T) {
	s := azuretest.New(t)
	k := open(t, record(t, s, func(_ *azure.Config, c *azure.Credentials) { c.ClientSecret = "wrong" }), loopback)
	err := k.Check(t.Context())
	if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != provider.KindDenied || e.Reason != provider.ReasonCredentials || strings.Contains(err.Error(), "quoting") {
		t.Errorf("error = %v", err)
	}
}

func TestWorkloadIdentity(t *testing.T) {
	s := azuretest.New(t)
	s.Put("db", pinned, "v")
	identity := func(c *azure.Config, secret *azure.Credentials) {
		c.Auth.Method, secret.ClientSecret = azure.MethodWorkloadIdentity, ""
	}
	host := loopback
	host.ServiceAccountToken = func(_ context.Context, audience string) (redact.Value, error) {
		return redact.New([]byte("jwt for " + audience)), nil
	}
	if _, err := azure.Open(record(t, s, identity), host); err == nil {
		t.Error("the registry's own account is shown to an authority nobody listed")
	}
	host.TrustedAddresses = []string{s.Address()}
	if _, err := open(t, record(t, s, identity), host).Read(t.Context(), provider.Ref{Path: "db"}); err != nil {
		t.Fatal(err)
	}
	s.Change(func(st *azuretest.State) {
		if got := st.Form.Get("client_assertion"); got != "jwt for api://AzureADTokenExchange" || st.Form.Has("client_secret") {
			t.Errorf("assertion = %q", got)
		}
	})
	elsewhere := func(address string) provider.Record {
		return record(t, s, func(c *azure.Config, secret *azure.Credentials) { identity(c, secret); c.Address = address })
	}
	for address, allowed := range map[string]bool{
		"https://acme.vault.azure.net": true, "https://acme.vault.usgovcloudapi.net": true, "https://acme.vault.azure.net:444": false,
		"https://vault.azure.net.example.com": false, "https://acme.example.com": false, "https://a.b.vault.azure.net": false,
	} {
		if err := azure.Type().Validate(elsewhere(address), host); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %t", address, err, allowed)
		}
	}
}

func TestRecordsThatBreakARule(t *testing.T) {
	s := azuretest.New(t)
	for field, change := range map[string]func(*azure.Config, *azure.Credentials){
		"config.address":            func(c *azure.Config, _ *azure.Credentials) { c.Address = "http://acme.vault.azure.net" },
		"config.ca_bundle":          func(c *azure.Config, _ *azure.Credentials) { c.CABundle = "none" },
		"config.auth.authority":     func(c *azure.Config, _ *azure.Credentials) { c.Auth.Authority = "https://169.254.169.254" },
		"config.auth.tenant_id":     func(c *azure.Config, _ *azure.Credentials) { c.Auth.TenantID = "../x" },
		"config.auth.client_id":     func(c *azure.Config, _ *azure.Credentials) { c.Auth.ClientID = "" },
		"config.auth.method":        func(c *azure.Config, _ *azure.Credentials) { c.Auth.Method = "environment" },
		"credentials.client_secret": func(_ *azure.Config, c *azure.Credentials) { c.ClientSecret = "" },
	} {
		err := azure.Type().Validate(record(t, s, change), loopback)
		if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != provider.KindInvalid || !strings.HasPrefix(e.Message, field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestReferencesAndPrefixes(t *testing.T) {
	if ref, err := azure.Type().Path("Prod-DB", pinned); err != nil || ref.Path != "prod-db" {
		t.Errorf("ref = %v, %v", ref, err)
	}
	for _, bad := range [][2]string{{"a/b", ""}, {"a.b", ""}, {"ä", ""}, {"db", "latest"}, {"db", strings.Repeat("A", 32)}, {strings.Repeat("x", 128), ""}} {
		if _, err := azure.Type().Path(bad[0], bad[1]); err == nil {
			t.Errorf("%q at %q is accepted", bad[0], bad[1])
		}
	}
	for name, want := range map[string]bool{"prod": true, "prod-db": true, "production": false, "test": false} {
		if got := azure.Type().Allows(name, []string{"Prod"}); got != want {
			t.Errorf("%s allowed: %t", name, got)
		}
	}
}

func TestEveryFieldOfARecordIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []any{azure.Config{}, azure.Auth{}, azure.Credentials{}} {
		for field := range reflect.TypeOf(of).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/providers.md does not name the field %s of %T", name, of)
			}
		}
	}
}
