// SPDX-License-Identifier: Apache-2.0

package gcp_test

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
	"github.com/lanyard-dev/lanyard/registry/provider/gcp"
	"github.com/lanyard-dev/lanyard/registry/provider/gcp/gcptest"
	"github.com/lanyard-dev/lanyard/registry/provider/providertest"
)

const (
	secrets  = "projects/acme-prod/secrets/"
	identity = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/lanyard/providers/cluster"
)

var loopback = provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}

// record returns the record of a provider that reads from s with a service account key; change may change it.
func record(t testing.TB, s *gcptest.Server, change func(*gcp.Config, *gcp.Credentials)) provider.Record {
	t.Helper()
	config := gcp.Config{Project: "acme-prod", Address: s.Address(), CABundle: s.CABundle(), Auth: gcp.Auth{
		Method: gcp.MethodKey, TokenAddress: s.Address(), STSAddress: s.Address(), IAMAddress: s.Address(),
	}}
	credentials := gcp.Credentials{ServiceAccountKey: gcptest.Key(t)}
	if change != nil {
		change(&config, &credentials)
	}
	return provider.Record{ID: "p1", Name: "gcp-prod", Type: gcp.Name, Config: marshal(t, config), Credentials: redact.New(marshal(t, credentials)), Revision: 1}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func open(t testing.TB, r provider.Record, host provider.Host) *gcp.SecretManager {
	t.Helper()
	m, err := gcp.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestConformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := gcptest.New(t)
		s.Put(secrets+"denied", []byte(`{"a":"1"}`))
		s.Change(func(st *gcptest.State) { st.Denied[secrets+"denied"] = true })
		fault := func(f func(http.ResponseWriter, *http.Request) bool) func() {
			s.Change(func(st *gcptest.State) { st.Fault = f })
			return func() { s.Change(func(st *gcptest.State) { st.Fault = nil }) }
		}
		return providertest.Harness{
			Type: gcp.Type(), Host: loopback, Record: record(t, s, nil), Text: true,
			Path:   func(name string) string { return strings.ReplaceAll(name, "/", "_") },
			Put:    func(_ *testing.T, path, object string) { s.Put(secrets+path, []byte(object)) },
			Denied: "denied",
			Throttle: func(*testing.T) func() {
				return fault(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Retry-After", "1")
					gcptest.Fail(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED")
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
			EndTokens: func(*testing.T) { s.Change(func(st *gcptest.State) { st.Tokens = map[string]bool{} }) },
		}
	})
}

// is fails the test unless err is of the kind and reason, and quotes nothing of an answer.
func is(t *testing.T, err error, kind provider.Kind, reason provider.Reason) {
	t.Helper()
	if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != kind || e.Reason != reason || strings.Contains(err.Error(), "quoting") {
		t.Errorf("error = %v, want %v (%s)", err, kind, reason)
	}
}

func TestReads(t *testing.T) {
	s := gcptest.New(t)
	s.Put(secrets+"db", []byte("old"))
	s.Put(secrets+"db", []byte("\x00\xff bytes\n"))
	s.Put(secrets+"off", nil)
	regional := "projects/acme-prod/locations/europe-west3/secrets/db"
	s.Put(regional, []byte("regional"))
	m := open(t, record(t, s, nil), loopback)
	for version, want := range map[string]string{"": "\x00\xff bytes\n", "1": "old"} {
		doc, err := m.Read(t.Context(), provider.Ref{Path: "db", Version: version})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := doc.Value(""); err != nil || string(v.Reveal()) != want {
			t.Errorf("version %q = %q, %v", version, v.Reveal(), err)
		}
	}
	_, err := m.Read(t.Context(), provider.Ref{Path: "db", Version: "9"})
	is(t, err, provider.KindNotFound, provider.ReasonVersion)
	_, err = m.Read(t.Context(), provider.Ref{Path: "off"})
	is(t, err, provider.KindNotFound, provider.ReasonVersion)
	s.Change(func(st *gcptest.State) {
		if st.Logins != 1 {
			t.Errorf("%d logins, want one", st.Logins)
		}
	})
	m = open(t, record(t, s, func(c *gcp.Config, _ *gcp.Credentials) { c.Location = "europe-west3" }), loopback)
	if _, err := m.Read(t.Context(), provider.Ref{Path: "db"}); err != nil {
		t.Error(err)
	}
}

func TestHostileAnswers(t *testing.T) {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	for name, tc := range map[string]struct {
		fault  http.HandlerFunc
		kind   provider.Kind
		reason provider.Reason
	}{
		"a damaged value": {func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(gcptest.Payload([]byte("quoting"), 1))
		}, provider.KindUnavailable, provider.ReasonServer},
		"a value without checksum": {say(`{"payload":{"data":"cXVvdGluZw=="}}`), provider.KindInvalid, provider.ReasonAnswer},
		"no base64":                {say(`{"payload":{"data":"quoting?","dataCrc32c":"1"}}`), provider.KindInvalid, provider.ReasonAnswer},
		"no payload":               {say(`{}`), provider.KindInvalid, provider.ReasonAnswer},
		"no JSON":                  {say("<html>quoting"), provider.KindInvalid, provider.ReasonAnswer},
		"an endless answer":        {say(strings.Repeat("x", provider.MaxAnswer+1)), provider.KindInvalid, provider.ReasonAnswerTooLarge},
		"a redirect":               {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, provider.KindUnavailable, provider.ReasonRedirect},
		"a token never good":       {func(w http.ResponseWriter, _ *http.Request) { gcptest.Fail(w, 401, "UNAUTHENTICATED") }, provider.KindDenied, provider.ReasonCredentials},
		"a rejected request":       {func(w http.ResponseWriter, _ *http.Request) { gcptest.Fail(w, 400, "INVALID_ARGUMENT") }, provider.KindInvalid, provider.ReasonRequestRejected},
		"a broken connection":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provider.KindUnavailable, provider.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			s := gcptest.New(t)
			s.Change(func(st *gcptest.State) {
				st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPost {
						return false
					}
					tc.fault(w, r)
					return true
				}
			})
			_, err := open(t, record(t, s, nil), loopback).Read(t.Context(), provider.Ref{Path: "db"})
			is(t, err, tc.kind, tc.reason)
		})
	}
}

func TestAKeyOfAnotherAccountIsDenied(t *testing.T) {
	s := gcptest.New(t)
	m := open(t, record(t, s, func(_ *gcp.Config, c *gcp.Credentials) {
		c.ServiceAccountKey = json.RawMessage(strings.Replace(string(c.ServiceAccountKey), gcptest.Account, "writer@acme.iam.gserviceaccount.com", 1))
	}), loopback)
	is(t, m.Check(t.Context()), provider.KindDenied, provider.ReasonCredentials)
}

func TestWorkloadIdentity(t *testing.T) {
	s := gcptest.New(t)
	s.Put(secrets+"db", []byte("v"))
	federated := func(c *gcp.Config, secret *gcp.Credentials) {
		c.Auth.Method, c.Auth.Provider, secret.ServiceAccountKey = gcp.MethodWorkloadIdentity, identity, nil
	}
	host := loopback
	host.ServiceAccountToken = func(_ context.Context, audience string) (redact.Value, error) {
		return redact.New([]byte("jwt for " + audience)), nil
	}
	if err := gcp.Type().Validate(record(t, s, federated), host); err == nil {
		t.Error("the registry's own account is shown to a server nobody listed")
	}
	host.TrustedAddresses = []string{s.Address()}
	for name, account := range map[string]string{"as itself": "", "as a service account": gcptest.Account} {
		t.Run(name, func(t *testing.T) {
			m := open(t, record(t, s, func(c *gcp.Config, secret *gcp.Credentials) { federated(c, secret); c.Auth.ServiceAccount = account }), host)
			if _, err := m.Read(t.Context(), provider.Ref{Path: "db"}); err != nil {
				t.Fatal(err)
			}
			s.Change(func(st *gcptest.State) {
				if st.Form.Get("subject_token") != "jwt for https:"+identity || st.Form.Get("audience") != identity {
					t.Errorf("exchanged %v", st.Form)
				}
			})
		})
	}
	for address, allowed := range map[string]bool{
		"": true, "https://secretmanager.europe-west3.rep.googleapis.com": true, "https://secretmanager.googleapis.com.example.com": false, "https://example.com": false,
	} {
		r := record(t, s, func(c *gcp.Config, secret *gcp.Credentials) { federated(c, secret); c.Address = address })
		if err := gcp.Type().Validate(r, host); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %t", address, err, allowed)
		}
	}
}

func TestRecordsThatBreakARule(t *testing.T) {
	s := gcptest.New(t)
	for field, change := range map[string]func(*gcp.Config, *gcp.Credentials){
		"config.project":            func(c *gcp.Config, _ *gcp.Credentials) { c.Project = "../x" },
		"config.location":           func(c *gcp.Config, _ *gcp.Credentials) { c.Location = "a.example.com/" },
		"config.address":            func(c *gcp.Config, _ *gcp.Credentials) { c.Address = "http://secretmanager.googleapis.com" },
		"config.ca_bundle":          func(c *gcp.Config, _ *gcp.Credentials) { c.CABundle = "none" },
		"config.auth.token_address": func(c *gcp.Config, _ *gcp.Credentials) { c.Auth.TokenAddress = "https://169.254.169.254" },
		"config.auth.method":        func(c *gcp.Config, _ *gcp.Credentials) { c.Auth.Method = "metadata" },
		"credentials.service_account_key": func(_ *gcp.Config, c *gcp.Credentials) {
			c.ServiceAccountKey = json.RawMessage(`{"type":"external_account"}`)
		},
		"config.auth.provider": func(c *gcp.Config, secret *gcp.Credentials) {
			c.Auth.Method, secret.ServiceAccountKey = gcp.MethodWorkloadIdentity, nil
		},
	} {
		err := gcp.Type().Validate(record(t, s, change), loopback)
		if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != provider.KindInvalid || !strings.HasPrefix(e.Message, field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestReferencesAndPrefixes(t *testing.T) {
	for _, bad := range [][2]string{{"a/b", ""}, {"a.b", ""}, {"ä", ""}, {"db", "latest"}, {"db", "0"}, {"db", "01"}, {strings.Repeat("x", 256), ""}} {
		if _, err := gcp.Type().Path(bad[0], bad[1]); err == nil {
			t.Errorf("%q at %q is accepted", bad[0], bad[1])
		}
	}
	for name, want := range map[string]bool{"prod": true, "prod-db": true, "prod_db": true, "production": false, "Prod": false} {
		if got := gcp.Type().Allows(name, []string{"prod_"}); got != want {
			t.Errorf("%s allowed: %t", name, got)
		}
	}
}

func TestEveryFieldOfARecordIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []any{gcp.Config{}, gcp.Auth{}, gcp.Credentials{}} {
		for field := range reflect.TypeOf(of).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/providers.md does not name the field %s of %T", name, of)
			}
		}
	}
}
