// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authn/federated"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// exchangeFrom asks a replica as somebody at an address would.
func (f *forge) exchangeFrom(address string, replica int, values url.Values) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, "/auth/token", strings.NewReader(values.Encode()))
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	f.handlers[replica].ServeHTTP(answer, r)
	return answer
}

// counted demands what a replica has counted so far: outcomes in order, each with its number.
func (f *forge) counted(replica int, want string) {
	f.t.Helper()
	families, err := f.metrics[replica].Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	var have []string
	for _, family := range families {
		if family.GetName() != "lanyard_registry_federation_exchanges_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			have = append(have, fmt.Sprintf("%s %g", m.GetLabel()[0].GetValue(), m.GetCounter().GetValue()))
		}
	}
	slices.Sort(have)
	if got := strings.Join(have, ", "); got != want {
		f.t.Errorf("replica %d counted %q, want %q", replica, got, want)
	}
}

func TestOneNetworkExchangesOnlySoMuch(t *testing.T) {
	f := newForge(t, func(_ *store.Config, c *signin.Config) { c.ExchangeRate, c.ExchangeBurst = 1e-6, 3 }) // no token more for a week
	wrong := form("token")
	wrong.Del("federation")
	for name, tc := range map[string]struct {
		values url.Values
		status int
	}{"an honest one": {form(f.issuer.Sign(f.claims())), 200}, "a token that is none": {form("token"), 400}, "a request that is none": {wrong, 400}} {
		if a := f.exchangeFrom("192.0.2.1:4000", 0, tc.values); a.Code != tc.status {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	f.refused("malformed", "anonymous")

	late := form(f.issuer.Sign(f.claims()))
	for _, port := range []string{"4000", "4001"} {
		a := f.exchangeFrom("192.0.2.1:"+port, 0, late)
		if a.Code != http.StatusTooManyRequests || a.Body.String() != "{\"error\":\"slow_down\"}\n" || a.Header().Get("Retry-After") != "3600" || a.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("beyond the limit, port %s: %d %s, %v", port, a.Code, a.Body, a.Header())
		}
	}
	f.refused("", "") // whoever asks too often fills no log
	f.counted(0, "invalid-request 1, malformed 1, ok 1, rate-limited 2")
	f.counted(1, "")

	// The refusal has not used the token up, and is of that network at that replica alone.
	if a := f.exchangeFrom("192.0.2.2:4000", 0, late); a.Code != 200 {
		t.Errorf("another network: %d %s", a.Code, a.Body)
	}
	if a := f.exchangeFrom("192.0.2.1:4000", 1, form(f.issuer.Sign(f.claims()))); a.Code != 200 {
		t.Errorf("another replica: %d %s", a.Code, a.Body)
	}
	f.counted(1, "ok 1")
}

func TestAFederationHasOnlySoManyBearersAtATime(t *testing.T) {
	f := newForge(t, func(c *store.Config, _ *signin.Config) { c.FederatedTokens = 2 })
	var bearers []string
	for replica := range f.replicas {
		status, body, text := f.exchange(replica, form(f.issuer.Sign(f.claims())))
		bearer, ok := body["access_token"].(string)
		if status != 200 || !ok {
			t.Fatalf("within the limit, replica %d: %d %s", replica, status, text)
		}
		bearers = append(bearers, bearer)
	}
	raw := f.issuer.Sign(f.claims())
	for replica := range f.replicas {
		if status, _, text := f.exchange(replica, form(raw)); status != 400 || text != "{\"error\":\"invalid_grant\"}\n" {
			t.Errorf("one more, replica %d: %d %s", replica, status, text)
		}
		f.counted(replica, "ok 1, too-many-at-once 1")
	}
	f.refused("too-many-at-once too-many-at-once", federated.Principal("app", forgeSubject))
	for i, bearer := range bearers {
		if status, text := f.call(0, bearer, "GET", "/api/v1/me", ""); status != 200 {
			t.Errorf("bearer %d: %d %s", i, status, text)
		}
	}

	// The limit is the federation's, and the refused ID token is not used up.
	f.trust("other", map[string]string{"sub": "repo:acme/app:*"}, store.RoleMember)
	elsewhere := form(raw)
	elsewhere.Set("federation", "other")
	if status, _, text := f.exchange(0, elsewhere); status != 200 {
		t.Errorf("another federation: %d %s", status, text)
	}
	// Who wants room ends what the federation gave out.
	if err := f.stores[0].DeleteFederation(t.Context(), store.Act{Actor: "token:bootstrap"}, f.org.ID, "app", 0); err != nil {
		t.Fatal(err)
	}
	f.rule = f.trust("app", f.rule.Claims, store.RoleMember)
	if status, _, text := f.exchange(1, form(f.issuer.Sign(f.claims()))); status != 200 {
		t.Errorf("made anew: %d %s", status, text)
	}
}

// Line ends are nothing to a decoder of base64 or a verifier of signatures: the same token would be another one with them.
func TestAUsedIDTokenIsNotUsedAgainInAnotherSpelling(t *testing.T) {
	f := newForge(t)
	raw := f.issuer.Sign(f.claims())
	if status, _, text := f.exchange(0, form(raw+"\n")); status != 200 { // as a file has it
		t.Fatalf("%d %s", status, text)
	}
	parts := strings.Split(raw, ".")
	for name, tc := range map[string]struct{ raw, reason, actor string }{
		"as it was":                 {raw, "used-before", federated.Principal("app", forgeSubject)},
		"a line end in its header":  {raw[:4] + "\n" + raw[4:], "malformed", "anonymous"},
		"a line end in its claims":  {strings.Replace(raw, ".", ".\r\n", 1), "malformed", "anonymous"},
		"a blank in its claims":     {strings.Replace(raw, ".", ". ", 1), "malformed", "anonymous"},
		"line ends behind":          {raw + "\r\n\r\n", "used-before", federated.Principal("app", forgeSubject)},
		"a line end before it":      {"\n" + raw, "malformed", "anonymous"},
		"padding behind its claims": {parts[0] + "." + parts[1] + "=." + parts[2], "malformed", "anonymous"},
	} {
		f.name = name
		if status, _, text := f.exchange(1, form(tc.raw)); status != 400 || text != "{\"error\":\"invalid_grant\"}\n" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		f.refused(tc.reason, tc.actor)
	}
}
