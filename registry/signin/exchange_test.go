// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/authn/federated"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// forge is two replicas that trust one issuer, and an organization with a federation of it.
type forge struct {
	t        *testing.T
	issuer   *oidctest.Liar
	replicas []string // URLs
	handlers []http.Handler
	metrics  []*prometheus.Registry
	stores   []*store.Store
	denied   *denials
	log      *logtest.Buffer
	org      store.Organization
	rule     store.Federation
	name     string // of the case at hand
}

const (
	forgeAudience = "https://lanyard.example"
	forgeSubject  = "repo:acme/app:ref:refs/heads/main"
)

// newForge starts one, with limits of its own if changes set them.
func newForge(t *testing.T, changes ...func(*store.Config, *signin.Config)) *forge {
	t.Helper()
	client, _ := storetest.Etcd(t)
	f := &forge{t: t, issuer: oidctest.StartLiar(t), denied: new(denials), log: new(logtest.Buffer)}
	ring, log := storetest.Ring(t, storetest.Key(t)), slog.New(slog.NewJSONHandler(f.log, nil))
	for range 2 {
		issuers, err := issuer.New(issuer.Config{Issuers: []string{f.issuer.Issuer}, CAFile: f.issuer.CAFile})
		if err != nil {
			t.Fatal(err)
		}
		metrics := prometheus.NewPedanticRegistry()
		stored, config := store.Config{Client: client, Keys: ring}, signin.Config{IDTokens: issuers, Denials: f.denied, Log: log, Registerer: metrics}
		for _, change := range changes {
			change(&stored, &config)
		}
		s := storetest.Open(t, stored)
		config.Store = s
		pages, err := signin.New(config)
		if err != nil {
			t.Fatal(err)
		}
		handler, err := api.New(api.Config{
			Store: s, Authenticator: api.FirstOf(&apitoken.Authenticator{Tokens: s}, &federated.Authenticator{Tokens: s}), Checker: unchecked{}, Explainer: &resolve.Explainer{}, Log: log,
			Denials: f.denied, SignIn: pages, Issuers: issuers, Rate: 1e6, Burst: 1e6,
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		f.stores, f.replicas, f.handlers, f.metrics = append(f.stores, s), append(f.replicas, server.URL), append(f.handlers, handler), append(f.metrics, metrics)
	}
	var err error
	if f.org, err = f.stores[0].CreateOrganization(t.Context(), store.Act{Actor: "token:bootstrap"}, store.Organization{Slug: "acme"}); err != nil {
		t.Fatal(err)
	}
	f.rule = f.trust("app", map[string]string{"sub": "repo:acme/app:*", "ref": "refs/heads/main"}, store.RoleOwner)
	return f
}

func (f *forge) trust(name string, claims map[string]string, role store.Role) store.Federation {
	f.t.Helper()
	rule, err := f.stores[0].CreateFederation(f.t.Context(), store.Act{Actor: "token:bootstrap"}, f.org.ID, store.Federation{
		Name: name, Issuer: f.issuer.Issuer, Audience: forgeAudience, Claims: claims, Role: role,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return rule
}

// claims are those of an honest token, each with a jti of its own.
func (f *forge) claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": f.issuer.Issuer, "aud": forgeAudience, "sub": forgeSubject, "ref": "refs/heads/main", "jti": rand.Text(), "iat": now.Unix(), "nbf": now.Unix() - 5, "exp": now.Unix() + 300,
	}
}

// form is a request for an exchange.
func form(token string) url.Values {
	return url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"},
		"subject_token": {token}, "organization": {"acme"}, "federation": {"app"},
	}
}

// exchange returns what a replica answers.
func (f *forge) exchange(replica int, values url.Values) (status int, body map[string]any, text string) {
	f.t.Helper()
	resp, err := http.PostForm(f.replicas[replica]+"/auth/token", values)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		f.t.Fatalf("%s: %v", raw, err)
	}
	return resp.StatusCode, body, string(raw)
}

// call asks a replica's API with a bearer.
func (f *forge) call(replica int, bearer, method, path, body string) (int, string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.replicas[replica]+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestAJobExchangesItsIDTokenOnce(t *testing.T) {
	f := newForge(t)
	raw := f.issuer.Sign(f.claims())
	status, body, text := f.exchange(0, form(raw))
	bearer, _ := body["access_token"].(string)
	ends, _ := body["expires_in"].(float64)
	if status != 200 || body["token_type"] != "Bearer" || body["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" || !strings.HasPrefix(bearer, federated.Prefix) || ends < 600 || ends > 900 {
		t.Fatalf("%d %s", status, text)
	}
	const acme = "/api/v1/organizations/acme"
	for replica := range f.replicas {
		status, text := f.call(replica, bearer, "GET", "/api/v1/me", "")
		if status != 200 || !strings.Contains(text, `"principal":"federation:app#`+forgeSubject+`"`) || !strings.Contains(text, `"role":"owner"`) {
			t.Errorf("replica %d: %d %s", replica, status, text)
		}
	}
	if status, text := f.call(1, bearer, "POST", acme+"/secrets", `{"name":"s","value":"v"}`); status != 201 {
		t.Errorf("writing: %d %s", status, text)
	}
	if status, text := f.call(1, bearer, "POST", "/api/v1/organizations", `{"slug":"mine"}`); status != 403 {
		t.Errorf("beyond its organization: %d %s", status, text)
	}
	// What it makes does not outlive it.
	if status, text := f.call(0, bearer, "POST", acme+"/tokens", `{"name":"t","role":"owner","expires_at":"`+time.Now().Add(2*time.Hour).UTC().Format(time.RFC3339)+`"}`); status != 422 {
		t.Errorf("a token that outlives it: %d %s", status, text)
	}
	if status, text := f.call(0, bearer, "POST", acme+"/tokens", `{"name":"t","role":"owner"}`); status != 201 {
		t.Errorf("a token that does not: %d %s", status, text)
	}
	for replica := range f.replicas {
		if status, _, text := f.exchange(replica, form(raw)); status != 400 || text != "{\"error\":\"invalid_grant\"}\n" {
			t.Errorf("again, at replica %d: %d %s", replica, status, text)
		}
	}
	f.refused("used-before used-before", "federation:app#"+forgeSubject)
	events, err := f.stores[1].AuditEvents(t.Context(), f.org.ID, store.AuditQuery{Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	exchanged := 0
	for _, e := range events.Items {
		if e.Action == audit.FederationExchange && e.Actor == "federation:app#"+forgeSubject && e.ResourceName == "app" {
			exchanged++
		}
	}
	if exchanged != 1 {
		t.Errorf("%d exchanges are audited", exchanged)
	}
	for what, have := range map[string]string{"log": f.log.String()} {
		if strings.Contains(have, raw) || strings.Contains(have, bearer) || strings.Contains(have, strings.Split(raw, ".")[2]) {
			t.Errorf("a token stands in the %s", what)
		}
	}
	if err := f.stores[0].DeleteFederation(t.Context(), store.Act{Actor: "token:bootstrap"}, f.org.ID, "app", 0); err != nil {
		t.Fatal(err)
	}
	for replica := range f.replicas {
		if status, text := f.call(replica, bearer, "GET", "/api/v1/me", ""); status != 401 {
			t.Errorf("without its federation, replica %d: %d %s", replica, status, text)
		}
	}
}

// refused demands the reasons of the refusals so far, all of one actor.
func (f *forge) refused(reasons, actor string) {
	f.t.Helper()
	f.denied.mu.Lock()
	defer f.denied.mu.Unlock()
	var have []string
	for _, e := range f.denied.events {
		if e.Action != audit.FederationExchange {
			continue
		}
		if e.Actor != actor || e.OrgID != f.org.ID || e.Outcome != audit.Denied || e.ResourceName != f.rule.Name {
			f.t.Errorf("%s: audited: %+v", f.name, e)
		}
		have = append(have, e.Reason)
	}
	f.denied.events = nil
	if got := strings.Join(have, " "); got != reasons {
		f.t.Errorf("%s: refused for %q, want %q", f.name, got, reasons)
	}
}

// Really signed tokens, and forged ones, that no federation may take. Every answer is the same.
func TestHostileIDTokensAreRefusedAlike(t *testing.T) {
	f := newForge(t)
	mallory, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) func(map[string]any) string {
		return func(claims map[string]any) string {
			if value == nil {
				delete(claims, name)
			} else {
				claims[name] = value
			}
			return f.issuer.Sign(claims)
		}
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, tc := range map[string]struct {
		make   func(claims map[string]any) string
		reason string
	}{
		"no signature":                  {func(c map[string]any) string { return oidctest.Unsigned(c) }, "algorithm"},
		"a secret made of a public key": {f.issuer.Confused, "algorithm"},
		"another key of the same id":    {func(c map[string]any) string { return oidctest.Sign(t, mallory, c) }, "signature"},
		"claims changed afterwards": {func(c map[string]any) string {
			honest := strings.Split(f.issuer.Sign(c), ".")
			c["sub"] = "repo:acme/app:ref:refs/heads/evil"
			return honest[0] + "." + strings.Split(f.issuer.Sign(c), ".")[1] + "." + honest[2]
		}, "signature"},
		"no signature left": {func(c map[string]any) string {
			return strings.TrimRight(f.issuer.Sign(c), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
		}, "signature"},
		"four parts":                {func(c map[string]any) string { return f.issuer.Sign(c) + ".x" }, "malformed"},
		"no token":                  {func(map[string]any) string { return "token" }, "malformed"},
		"a token of JSON":           {func(map[string]any) string { return `{"payload":"e30","signatures":[]}` }, "malformed"},
		"too long":                  {with("padding", strings.Repeat("x", 13<<10)), "malformed"},
		"another issuer":            {with("iss", "https://mallory.example"), "other-issuer"},
		"an issuer with a slash":    {with("iss", f.issuer.Issuer+"/"), "other-issuer"},
		"no issuer":                 {with("iss", nil), "other-issuer"},
		"another audience":          {with("aud", "https://other.example"), "other-audience"},
		"an audience besides":       {with("aud", []string{forgeAudience, "https://other.example"}), "other-audience"},
		"no audience":               {with("aud", nil), "other-audience"},
		"an audience with a blank":  {with("aud", forgeAudience+" "), "other-audience"},
		"an end in the past":        {with("exp", at(-time.Second)), "expired"},
		"no end":                    {with("exp", nil), "malformed"},
		"an end that is a text":     {with("exp", "4102444800"), "malformed"},
		"an end that is never":      {with("exp", 1e300), "malformed"},
		"an end in two days":        {with("exp", at(48*time.Hour)), "too-long"},
		"made tomorrow":             {with("iat", at(24*time.Hour)), "not-yet"},
		"no time it was made":       {with("iat", nil), "malformed"},
		"not before tomorrow":       {with("nbf", at(24*time.Hour)), "not-yet"},
		"no subject":                {with("sub", nil), "no-subject"},
		"a subject that is a list":  {with("sub", []string{forgeSubject}), "no-subject"},
		"a subject with a line end": {with("sub", forgeSubject+"\n"), "no-subject"},
		"an endless subject":        {with("sub", "repo:acme/app:"+strings.Repeat("x", 600)), "no-subject"},
		"another repository":        {with("sub", "repo:acme/evil:ref:refs/heads/main"), "claims"},
		"an owner that begins so":   {with("sub", "repo:acme-evil/app:ref:refs/heads/main"), "claims"},
		"another branch":            {with("ref", "refs/heads/evil"), "claims"},
		"no branch":                 {with("ref", nil), "claims"},
		"a branch in other letters": {func(c map[string]any) string {
			delete(c, "ref")
			c["REF"] = "refs/heads/main"
			return f.issuer.Sign(c)
		}, "claims"},
	} {
		claims := f.claims()
		status, _, text := f.exchange(0, form(tc.make(claims)))
		if status != 400 || text != "{\"error\":\"invalid_grant\"}\n" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		actor := "anonymous"
		if tc.reason == "claims" { // the issuer signed for who it is
			actor = federated.Principal("app", claims["sub"].(string))
		}
		f.name = name
		f.refused(tc.reason, actor)
	}
	if status, _, text := f.exchange(0, form(f.issuer.Sign(f.claims()))); status != 200 {
		t.Errorf("an honest one, afterwards: %d %s", status, text)
	}
}

func TestAnExchangeIsAskedForAsTheStandardSays(t *testing.T) {
	f := newForge(t)
	raw := f.issuer.Sign(f.claims())
	for name, tc := range map[string]struct {
		change map[string]string
		code   string
	}{
		"another grant":         {map[string]string{"grant_type": "client_credentials"}, "unsupported_grant_type"},
		"a device's grant":      {map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "unsupported_grant_type"}, // people cannot sign in here
		"no type of token":      {map[string]string{"subject_token_type": ""}, "invalid_request"},
		"another type of token": {map[string]string{"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"},
		"another token wanted":  {map[string]string{"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"},
		"an actor besides":      {map[string]string{"actor_token": "x"}, "invalid_request"},
		"no token":              {map[string]string{"subject_token": ""}, "invalid_request"},
		"no organization":       {map[string]string{"organization": ""}, "invalid_request"},
		"unknown organization":  {map[string]string{"organization": "other"}, "invalid_grant"},
		"unknown federation":    {map[string]string{"federation": "other"}, "invalid_grant"},
	} {
		values := maps.Clone(form(raw))
		for field, text := range tc.change {
			values.Set(field, text)
		}
		if status, body, text := f.exchange(1, values); status != 400 || body["error"] != tc.code {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	twice := form(raw)
	twice.Add("organization", "other")
	if status, body, text := f.exchange(1, twice); status != 400 || body["error"] != "invalid_request" {
		t.Errorf("two organizations: %d %s", status, text)
	}
	f.refused("", "")
	for _, path := range []string{"/auth/", "/auth/login", "/auth/device"} {
		if status, text := f.call(0, "", "GET", path, ""); status != 404 {
			t.Errorf("%s without people: %d %s", path, status, text)
		}
	}
	if status, _, text := f.exchange(1, form(raw)); status != 200 {
		t.Errorf("as it is: %d %s", status, text)
	}
}

func TestAnIssuerThatIsAwaySaysNothingOfATokenButThatOneMayTryAgain(t *testing.T) {
	f := newForge(t)
	raw := f.issuer.Sign(f.claims())
	f.issuer.Announce("https://somebody-else.example")
	if status, body, text := f.exchange(0, form(raw)); status != 503 || body["error"] != "temporarily_unavailable" {
		t.Errorf("%d %s", status, text)
	}
	f.counted(0, "issuer-unreachable 1")
	f.refused("", "")
	f.issuer.Announce(f.issuer.Issuer)
	if status, _, text := f.exchange(1, form(raw)); status != 200 { // the other replica has not asked yet
		t.Errorf("%d %s", status, text)
	}
}
