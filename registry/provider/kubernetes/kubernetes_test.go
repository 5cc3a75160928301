// SPDX-License-Identifier: Apache-2.0

package kubernetes_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/kubernetes"
	"github.com/lanyard-dev/lanyard/registry/provider/providertest"
)

var loopback = provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// record is that of a provider for f as for another cluster.
func record(t testing.TB, f *fakeServer) provider.Record {
	return provider.Record{
		ID: "p1", Name: "cluster", Type: kubernetes.Name, Revision: 1,
		Config:      marshal(t, kubernetes.Config{Address: f.URL, CABundle: f.bundle()}),
		Credentials: redact.New(marshal(t, kubernetes.Credentials{Token: token})),
	}
}

// home makes f the registry's own cluster, with the service account's files in a directory.
func home(t testing.TB, f *fakeServer, namespaces ...string) (provider.Host, provider.Record) {
	t.Helper()
	host := loopback
	host.Cluster = &provider.Cluster{Address: f.URL, Directory: t.TempDir(), Namespaces: namespaces}
	for name, content := range map[string]string{"token": token + "\n", "ca.crt": f.bundle(), "namespace": "lanyard-system"} {
		if err := os.WriteFile(filepath.Join(host.Cluster.Directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return host, provider.Record{ID: "p1", Name: "cluster", Type: kubernetes.Name, Revision: 1, Config: []byte(`{}`), AllowedPrefixes: namespaces}
}

func TestConformance(t *testing.T) {
	for name, open := range map[string]func(testing.TB, *fakeServer) (provider.Host, provider.Record){
		"another cluster": func(t testing.TB, f *fakeServer) (provider.Host, provider.Record) { return loopback, record(t, f) },
		"its own cluster": func(t testing.TB, f *fakeServer) (provider.Host, provider.Record) {
			return home(t, f, "team", "prod", "production")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, func(t *testing.T) providertest.Harness {
				f := serve(t)
				host, r := open(t, f)
				return harness(f, host, r)
			})
		})
	}
}

func harness(f *fakeServer, host provider.Host, r provider.Record) providertest.Harness {
	f.put("team/denied", map[string][]byte{"a": []byte("1")})
	f.denied["team/denied"] = true
	answer := func(code int) func(*testing.T) func() {
		return func(*testing.T) func() {
			return f.fail(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "1")
				status(w, code, "Fault")
			})
		}
	}
	return providertest.Harness{
		Type: kubernetes.Type(), Host: host, Record: r, Bytes: true, Denied: "team/denied",
		Path: func(name string) string {
			switch {
			case name == "production":
				return "production/db"
			case strings.HasPrefix(name, "prod"):
				return name
			default:
				return "team/" + name
			}
		},
		Put:      func(t *testing.T, path, object string) { f.put(path, data(t, object)) },
		Throttle: answer(http.StatusTooManyRequests),
		Break:    answer(http.StatusBadGateway),
		Stall: func(t *testing.T) func() {
			ended, end := context.WithCancel(context.Background())
			t.Cleanup(end)
			undo := f.fail(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-ended.Done():
				case <-r.Context().Done():
				}
			})
			return func() { undo(); end() }
		},
	}
}

// data is what `kubectl create secret` makes of an object.
func data(t *testing.T, object string) map[string][]byte {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		t.Fatal(err)
	}
	data := map[string][]byte{}
	for key, raw := range fields {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		data[key] = []byte(text)
	}
	return data
}

func read(t testing.TB, host provider.Host, r provider.Record, path, key string) (string, *provider.Error) {
	t.Helper()
	k, err := kubernetes.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	doc, err := k.Read(t.Context(), provider.Ref{Path: path})
	if err == nil {
		var v redact.Value
		if v, err = doc.Value(key); err == nil {
			return string(v.Reveal()), nil
		}
	}
	e, ok := err.(*provider.Error)
	if !ok || strings.Contains(err.Error(), reflected) || strings.Contains(err.Error(), token) {
		t.Fatalf("error %v is not a provider's or repeats what it must not", err)
	}
	return "", e
}

func TestBytesThatAreNotTextComeAsTheyAre(t *testing.T) {
	f := serve(t)
	f.put("team/keystore", map[string][]byte{"jks": {0xfe, 0xed, 0, 0xff}})
	if got, err := read(t, loopback, record(t, f), "team/keystore", "jks"); err != nil || got != "\xfe\xed\x00\xff" {
		t.Errorf("jks = %q, %v", got, err)
	}
	if _, err := read(t, loopback, record(t, f), "team/keystore", ""); err == nil || err.Kind != provider.KindUnrepresentable {
		t.Errorf("the whole: %v", err)
	}
}

func TestTheRegistrysOwnNamespaceIsNeverRead(t *testing.T) {
	f := serve(t)
	f.put("lanyard-system/keys", map[string][]byte{"primary": []byte("key")})
	host, r := home(t, f, "lanyard-system") // the operator's mistake
	if _, err := read(t, host, r, "lanyard-system/keys", "primary"); err == nil || err.Kind != provider.KindDenied {
		t.Errorf("error = %v", err)
	}
	if len(f.asked) != 0 {
		t.Errorf("the server was asked %q", f.asked)
	}
}

func TestARotatedTokenAndAuthorityAreUsedAtOnce(t *testing.T) {
	f := serve(t)
	f.put("team/db", map[string][]byte{"a": []byte("1")})
	host, r := home(t, f, "team")
	k, err := kubernetes.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.tokens = map[string]bool{"next": true}
	f.mu.Unlock()
	if err := k.Check(t.Context()); err == nil || err.(*provider.Error).Reason != provider.ReasonCredentials {
		t.Errorf("a token the server forgot: %v", err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(host.Cluster.Directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "next")
	if err := k.Check(t.Context()); err != nil {
		t.Errorf("the new token: %v", err)
	}
	write("ca.crt", "nonsense")
	if err := k.Check(t.Context()); err == nil {
		t.Error("an authority that is none is accepted")
	}
}

func TestRecordsThatBreakARule(t *testing.T) {
	f := serve(t)
	own, ownRecord := home(t, f, "team")
	for name, tc := range map[string]struct {
		host   provider.Host
		change func(*provider.Record)
		base   provider.Record
		want   string
	}{
		"own cluster that the operator does not lend":  {loopback, func(*provider.Record) {}, ownRecord, "config.address: required"},
		"own cluster without prefixes":                 {own, func(r *provider.Record) { r.AllowedPrefixes = nil }, ownRecord, "allowed_prefixes: required"},
		"own cluster with a namespace not listed":      {own, func(r *provider.Record) { r.AllowedPrefixes = []string{"team", "kube-system/x"} }, ownRecord, "allowed_prefixes/1: "},
		"own cluster with a token":                     {own, func(r *provider.Record) { r.Credentials = redact.New([]byte(`{"token":"x"}`)) }, ownRecord, "credentials.token: not used"},
		"another cluster without a token":              {own, func(r *provider.Record) { r.Credentials = redact.Value{} }, record(t, f), "credentials.token: required"},
		"a token with a line break":                    {own, func(r *provider.Record) { r.Credentials = redact.New([]byte(`{"token":"x\ny"}`)) }, record(t, f), "credentials.token: required"},
		"a prefix that is no namespace":                {own, func(r *provider.Record) { r.AllowedPrefixes = []string{"Team"} }, record(t, f), "allowed_prefixes/0: "},
		"an unknown field":                             {own, func(r *provider.Record) { r.Config = []byte(`{"skip_verify":true}`) }, record(t, f), "config: unknown field"},
		"an address that the guard refuses":            {own, func(r *provider.Record) { r.Config = []byte(`{"address":"https://169.254.169.254"}`) }, record(t, f), "config.address: "},
		"a bundle without certificates":                {own, func(r *provider.Record) { r.Config = marshal(t, kubernetes.Config{Address: f.URL, CABundle: "x"}) }, record(t, f), "config.ca_bundle: "},
		"credentials of another type are not repeated": {own, func(r *provider.Record) { r.Credentials = redact.New([]byte(`{"secret_id":"s"}`)) }, record(t, f), "credentials: not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.change(&tc.base)
			err := kubernetes.Type().Validate(tc.base, tc.host)
			if e, ok := err.(*provider.Error); !ok || e.Kind != provider.KindInvalid || !strings.HasPrefix(e.Message, tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestReferencesThatCannotBeRead(t *testing.T) {
	for _, path := range []string{"team", "team/", "/db", "team/db/x", "team/..", "../db", "team/a%2fb", "Team/db", "team/-db", strings.Repeat("a", 64) + "/db", "team/" + strings.Repeat("a", 254)} {
		if _, err := kubernetes.Type().Path(path, ""); err == nil {
			t.Errorf("%q is accepted", path)
		}
	}
	if _, err := kubernetes.Type().Path("team/db", "2"); err == nil || !strings.HasPrefix(err.(*provider.Error).Message, "the version") {
		t.Errorf("a version: %v", err)
	}
}

func TestAnswersAreToldApart(t *testing.T) {
	f := serve(t)
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   provider.Reason
	}{
		"a redirect is not followed": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, provider.ReasonRedirect},
		"another object":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"kind":"ConfigMap","data":{}}`)) }, provider.ReasonAnswer},
		"not JSON":                   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(reflected)) }, provider.ReasonAnswer},
		"not base64": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"kind":"Secret","data":{"a":"?"}}`))
		}, provider.ReasonAnswer},
		"an answer without end":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, provider.MaxAnswer+1)) }, provider.ReasonAnswerTooLarge},
		"a compressed answer":        {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, provider.ReasonAnswer},
		"a connection that breaks":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provider.ReasonUnreachable},
		"an unknown token":           {func(w http.ResponseWriter, _ *http.Request) { status(w, http.StatusUnauthorized, "x") }, provider.ReasonCredentials},
		"a request it does not know": {func(w http.ResponseWriter, _ *http.Request) { status(w, http.StatusBadRequest, "x") }, provider.ReasonRequestRejected},
	} {
		t.Run(name, func(t *testing.T) {
			defer f.fail(tc.answer)()
			if _, err := read(t, loopback, record(t, f), "team/db", "a"); err == nil || err.Reason != tc.want {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
		})
	}
	if slices.Contains(f.asked, "GET /elsewhere") {
		t.Error("a redirect was followed")
	}
}

func TestACertificateOfAnotherAuthorityIsRefused(t *testing.T) {
	f := serve(t)
	r := record(t, f)
	r.Config = marshal(t, kubernetes.Config{Address: f.URL})
	if _, err := read(t, loopback, r, "team/db", "a"); err == nil || err.Reason != provider.ReasonTLS {
		t.Errorf("error = %v", err)
	}
}
