// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/internal/logtest"
	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/authn/bootstrap"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// canary is a value that must never come back. It has quotes and a slash, so it is no name of anything.
const canary = `CANARY-7f3a/"value"`

// world is an API over a real store, and a caller who checks every answer against the document.
type world struct {
	t         testing.TB
	etcd      *clientv3.Client
	store     *store.Store
	checker   api.Checker
	explainer api.Explainer
	url       string
	token     string
	log       *logtest.Buffer
	answers   logtest.Buffer // everything that came back, headers and bodies
}

func newToken() string {
	random := make([]byte, 32)
	rand.Read(random)
	return bootstrap.Prefix + base64.RawURLEncoding.EncodeToString(random)
}

// newWorld starts a world. Options change the configuration of its API.
func newWorld(t testing.TB, options ...func(*api.Config)) *world {
	t.Helper()
	w := &world{t: t}
	providers, err := remote.New(provider.Config{
		Types: []provider.Type{vault.Type()}, Host: provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}, Timeout: time.Second,
	}, func(ctx context.Context) (remote.View, error) { return w.store.View(ctx) }, func() remote.Book { return w.store })
	if err != nil {
		t.Fatal(err)
	}
	w.etcd, _ = storetest.Etcd(t)
	w.store = storetest.Open(t, store.Config{Client: w.etcd, Keys: storetest.Ring(t, storetest.Key(t)), Providers: providers})
	t.Cleanup(func() { _ = providers.Close() })
	resolver, err := resolve.New(resolve.Config{
		View: func(ctx context.Context) (resolve.View, error) { return w.store.View(ctx) }, Fetch: func(resolve.Call) resolve.Fetcher { return providers.Begin(nil, true, nil) }, Audit: unreleased{}, Denied: unrecorded{},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.checker = checks{resolver, providers}
	w.explainer = &resolve.Explainer{Records: func(ctx context.Context) (resolve.Records, error) { return w.store.View(ctx) }, Reference: providers.Reference}
	w.serve(w.store, options...)
	return w
}

// checks is a checker as the registry has it.
type checks struct {
	*resolve.Resolver
	*remote.Providers
}

func (c checks) CheckSecret(ctx context.Context, orgID, id string) (resolve.Outcome, error) {
	return c.Resolver.Check(ctx, orgID, id)
}

func (c checks) CheckProvider(ctx context.Context, orgID, id string) resolve.Outcome {
	return c.Providers.Check(ctx, orgID, id)
}

func (c checks) ProviderAudience(p store.Provider) string { return c.Audience(p) }

func (c checks) ProviderHealth(p store.Provider) contract.ProviderHealth {
	return c.Providers.Health(p)
}

// unreleased and unrecorded are audit logs of a resolver that only checks.
type unreleased struct{}

func (unreleased) Record(context.Context, ...audit.Event) error {
	return errors.New("a check releases nothing")
}

type unrecorded struct{}

func (unrecorded) Record(context.Context, ...audit.Event) {}

// serve starts an API over any store.
func (w *world) serve(s api.Store, options ...func(*api.Config)) {
	w.t.Helper()
	w.token, w.log = newToken(), new(logtest.Buffer)
	if w.checker == nil {
		w.checker, w.explainer = checks{}, &resolve.Explainer{}
	}
	path := filepath.Join(w.t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(w.token+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	config := api.Config{
		Store: s, Authenticator: &bootstrap.Authenticator{Path: path}, Checker: w.checker, Explainer: w.explainer,
		Log:  slog.New(slog.NewJSONHandler(w.log, nil)),
		Rate: 1e6, Burst: 1e6, Issuers: anyIssuer{},
	}
	if tokens, ok := s.(apitoken.Tokens); ok {
		config.Authenticator = api.FirstOf(config.Authenticator, &apitoken.Authenticator{Tokens: tokens}, users{})
	}
	for _, option := range options {
		option(&config)
	}
	h, err := api.New(config)
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewServer(h)
	w.t.Cleanup(server.Close)
	w.url = server.URL
}

// users authenticates people, as a login would: by Authorization: User <subject>, or Admin <subject> for administrators.
type users struct{}

func (users) Authenticate(r *http.Request) (authz.Principal, error) {
	scheme, subject, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme != "User" && scheme != "Admin" {
		return authz.Principal{}, nil
	}
	return authz.Principal{Type: "user", ID: subject, Admin: scheme == "Admin"}, nil
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// problem decodes a problem.
func (a answer) problem(t testing.TB) *contract.Problem {
	t.Helper()
	p := new(contract.Problem)
	if err := json.Unmarshal(a.body, p); err != nil {
		t.Fatalf("answer is no problem: %s", a.body)
	}
	return p
}

// decode decodes a success, and fails the test for anything else.
func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if a.status/100 != 2 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// do sends a request as the administrator. Headers are name, value, name, value, …; an empty value removes the header.
func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Header.Write(&w.answers)
	_, _ = w.answers.Write(body)
	a := answer{resp.StatusCode, resp.Header, body}
	checkAnswer(w.t, r, a)
	return a
}

// RoundTrip lets a client of the world check its answers too.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	checkAnswer(w.t, r, answer{resp.StatusCode, resp.Header, body})
	return resp, nil
}

var document = sync.OnceValue(func() *openapi3.T {
	doc, _, err := api.LoadDocument()
	if err != nil {
		panic(err)
	}
	return doc
})

// checkAnswer holds an answer against the document, and against what every answer has.
func checkAnswer(t testing.TB, r *http.Request, a answer) {
	t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s %s: %s = %q, want %q", r.Method, r.URL.Path, name, got, want)
		}
	}
	if a.header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s: no request id", r.Method, r.URL.Path)
	}
	route := findRoute(r)
	if route == nil {
		problem := document().Components.Schemas["Problem"].Value
		var v any
		if err := json.Unmarshal(a.body, &v); err != nil || a.header.Get("Content-Type") != "application/problem+json" || problem.VisitJSON(v) != nil {
			t.Errorf("%s %s: %d %s is not a problem", r.Method, r.URL.Path, a.status, a.body)
		}
		return
	}
	err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		t.Errorf("%s %s: the answer is not what the document says: %v", r.Method, r.URL.Path, err)
	}
	if a.status >= 400 && a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: %d with content type %q", r.Method, r.URL.Path, a.status, a.header.Get("Content-Type"))
	}
}

func findRoute(r *http.Request) *routers.Route {
	segments := strings.Split(r.URL.Path, "/")
	for path, item := range document().Paths.Map() {
		pattern := strings.Split(path, "/")
		if len(pattern) != len(segments) {
			continue
		}
		match := true
		for i := range pattern {
			match = match && (strings.HasPrefix(pattern[i], "{") || pattern[i] == segments[i])
		}
		if op := item.GetOperation(r.Method); match && op != nil {
			return &routers.Route{Spec: document(), Path: path, PathItem: item, Method: r.Method, Operation: op}
		}
	}
	return nil
}

// quote writes a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// vault creates a provider that reads from an address with a token.
func (w *world) vault(org, name, address, bundle, token string, prefixes ...string) contract.Provider {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"name": name, "type": "vault", "allowed_prefixes": append([]string{}, prefixes...),
		"config":      map[string]any{"address": address, "ca_bundle": bundle, "auth": map[string]any{"method": "token"}},
		"credentials": map[string]any{"token": token},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return decode[contract.Provider](w.t, w.do("POST", "/api/v1/organizations/"+org+"/providers", string(body)))
}

// organization creates one with a secret "stripe" and a consumer "api" that uses it.
func (w *world) organization(slug string) {
	w.t.Helper()
	decode[contract.Organization](w.t, w.do("POST", "/api/v1/organizations", `{"slug":`+quote(slug)+`}`))
	base := "/api/v1/organizations/" + slug
	decode[contract.Secret](w.t, w.do("POST", base+"/secrets", `{"name":"stripe","value":`+quote(canary)+`}`))
	decode[contract.Consumer](w.t, w.do("POST", base+"/consumers", `{"name":"api","envs":[{"name":"STRIPE_API_KEY","secret":"stripe"}],"bindings":[{"cluster":"prod","namespace":"billing","service_account":"api"}]}`))
}
