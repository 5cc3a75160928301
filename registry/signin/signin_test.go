// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// real starts a world with the real provider.
func real(t *testing.T, change ...func(*signin.Config)) (*world, *oidctest.Provider) {
	t.Helper()
	var p *oidctest.Provider
	w := newWorld(t, func(callback string) *oidctest.Provider {
		p = oidctest.Start(t, callback)
		return p
	}, change...)
	w.discover()
	return w, p
}

func TestAPersonSignsInSeesWhoTheyAreAndSignsOut(t *testing.T) {
	w, p := real(t)
	b := oidctest.NewBrowser()
	w.visit(b, signin.HomePath, 200, "You are not signed in")
	page, err := b.SignIn(t.Context(), w.url+signin.LoginPath, "alice")
	w.check(page, err, 200, "You are signed in")
	for _, want := range []string{"Alice Ames", "alice@acme.example", "user:" + p.Issuer + "#a-1"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the page does not say %q:\n%s", want, page.Body)
		}
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(page.Body, "<script") {
		t.Errorf("policy %q", policy)
	}

	me := call[contract.Me](w, b, "/api/v1/me")
	if me.Principal != "user:"+p.Issuer+"#a-1" || *me.Email != "alice@acme.example" || *me.Name != "Alice Ames" || me.Admin || len(me.Memberships) != 0 || me.Session == nil || !me.Session.Current {
		t.Errorf("got %+v", me)
	}
	o, err := w.store.CreateOrganization(t.Context(), store.Act{Actor: "token:test"}, store.Organization{Slug: "acme"}, me.Principal)
	if err != nil {
		t.Fatal(err)
	}
	if got := call[contract.Organization](w, b, "/api/v1/organizations/acme"); got.ID != o.ID {
		t.Errorf("an owner sees %+v", got)
	}

	page, err = b.Post(t.Context(), w.url+signin.LogoutPath, nil)
	w.check(page, err, 200, "You are not signed in")
	w.visit(b, "/api/v1/me", 401, "unauthenticated")
	if list, err := w.store.Sessions(t.Context(), me.Principal); err != nil || len(list) != 0 {
		t.Errorf("sessions %v, %v", list, err)
	}
	events, err := w.store.AuditEvents(t.Context(), "", store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range events.Items {
		if e.Actor == me.Principal {
			actions = append(actions, string(e.Action))
			if e.ResourceID != me.Session.ID || e.SourceIP != "127.0.0.1" || e.RequestID == "" || e.Outcome != audit.Allowed {
				t.Errorf("event %+v", e)
			}
		}
	}
	if got := strings.Join(actions, " "); got != "session.revoke session.create" {
		t.Errorf("the log has %q", got)
	}
}

func TestAnAddressThatIsNotVerifiedIsNobodys(t *testing.T) {
	w, _ := real(t)
	me := call[contract.Me](w, w.signedIn("mallory"), "/api/v1/me")
	if me.Email != nil || *me.Name != "Mallory Moss" {
		t.Errorf("got %+v", me)
	}
}

func TestSessionsAreListedAndEndedByTheirOwnerOnly(t *testing.T) {
	w, _ := real(t)
	laptop, phone, other := w.signedIn("alice"), w.signedIn("alice"), w.signedIn("bob")
	list := call[contract.SessionList](w, laptop, "/api/v1/me/sessions").Items
	if len(list) != 2 || list[0].Current || !list[1].Current || *list[0].Client != "test browser" || *list[0].SourceIP != "127.0.0.1" || list[0].Kind != "browser" || list[0].IdleSeconds != 3600 {
		t.Fatalf("got %+v", list)
	}
	end := func(b *oidctest.Browser, id string, status int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.url+"/api/v1/me/sessions/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("ending a session: %d, want %d", resp.StatusCode, status)
		}
	}
	end(other, list[0].ID, 404)
	end(laptop, list[0].ID, 204)
	end(laptop, list[0].ID, 404)
	w.visit(phone, "/api/v1/me", 401, "")
	w.visit(laptop, "/api/v1/me", 200, "")
}

func TestTheSessionCookieIsForThisHostAloneAndItsTextIsNowhereElse(t *testing.T) {
	w, p := real(t)
	b := oidctest.NewBrowser()
	var cookies []*http.Cookie
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		cookies = append(cookies, r.Response.Cookies()...)
		return nil
	}
	page, err := b.SignIn(t.Context(), w.url+signin.LoginPath, "alice")
	w.check(page, err, 200, "")
	found := 0
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, "__Host-lanyard") {
			continue
		}
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s is set with %+v", c.Name, c)
		}
		if c.Name == session.CookieName {
			found++
			if strings.Contains(page.Body, c.Value) || strings.Contains(w.log.String(), c.Value) {
				t.Error("the session's text is in the page or the log")
			}
			bearer(w, c.Value, 401)
		}
	}
	if found != 1 {
		t.Errorf("%d session cookies", found)
	}
	for what, have := range map[string]string{"log": w.log.String(), "page": page.Body} {
		for _, secret := range []string{oidctest.ClientSecret, "code=", "id_token"} {
			if strings.Contains(have, secret) {
				t.Errorf("the %s has %q", what, secret)
			}
		}
	}
	_ = p
}

// bearer tries a text as a bearer token.
func bearer(w *world, text string, status int) {
	w.t.Helper()
	b := oidctest.NewBrowser()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+"/api/v1/me", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+text)
	resp, err := b.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		w.t.Errorf("as a bearer token: %d, want %d", resp.StatusCode, status)
	}
}

func TestAnotherSitesPageCannotUseASession(t *testing.T) {
	w, _ := real(t)
	b := w.signedIn("alice")
	post := func(path string, status int, headers ...string) {
		t.Helper()
		page, err := b.Post(t.Context(), w.url+path, nil, headers...)
		w.check(page, err, status, "")
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site", "Origin", "null"},
	} {
		post(signin.LogoutPath, 403, headers...)
		post("/api/v1/organizations", 403, headers...)
	}
	w.visit(b, "/api/v1/me", 200, "")
	// Nor does a cookie help a request that has another credential, or claims to.
	post("/api/v1/organizations", 401, "Authorization", "Bearer x")
	post(signin.LogoutPath, 200)
}

func TestACallbackTheBrowserDidNotAskForIsRefused(t *testing.T) {
	w, _ := real(t)
	for name, tc := range map[string]struct {
		begin bool
		query url.Values
		code  int
		why   string
	}{
		"no sign-in was begun":                  {false, url.Values{"code": {"c"}, "state": {"s"}}, 400, "state"},
		"the state is of another sign-in":       {true, url.Values{"code": {"c"}, "state": {"s"}}, 400, "state"},
		"there is no state":                     {true, url.Values{"code": {"c"}}, 400, "state"},
		"the provider refused, without a state": {true, url.Values{"error": {"access_denied"}}, 400, "state"},
	} {
		b := oidctest.NewBrowser()
		if tc.begin {
			w.visit(b, signin.LoginPath, 200, "Username")
		}
		page := w.visit(b, signin.CallbackPath+"?"+tc.query.Encode(), tc.code, "This sign-in is over")
		if got := w.denied.reasons(); got != tc.why {
			t.Errorf("%s: audited as %q, want %q\n%s", name, got, tc.why, page.Body)
		}
		w.visit(b, "/api/v1/me", 401, "")
	}
}

func TestAStateIsGoodOnce(t *testing.T) {
	w, _ := real(t)
	b := oidctest.NewBrowser()
	var callback *url.URL
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == signin.CallbackPath {
			callback = r.URL
		}
		return nil
	}
	page, err := b.SignIn(t.Context(), w.url+signin.LoginPath, "alice")
	w.check(page, err, 200, "You are signed in")
	w.visit(b, callback.RequestURI(), 400, "This sign-in is over")
	w.visit(b, "/api/v1/me", 200, "") // what was there stays
}

func TestSigningInLeadsBackToWhereItBeganButNeverAway(t *testing.T) {
	w, _ := real(t)
	b := oidctest.NewBrowser()
	page, err := b.SignIn(t.Context(), w.url+signin.LoginPath+"?return_to="+url.QueryEscape("/auth/?x=1#y"), "alice")
	if w.check(page, err, 200, "You are signed in"); page.URL.RequestURI() != "/auth/?x=1" {
		t.Errorf("it ended at %s", page.URL)
	}
	for _, to := range []string{
		"https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "evil.example", "", "javascript:alert(1)", "/%09/../\\x", "/\t/evil.example", "/\n//evil.example",
		" /x", "https:/evil.example", "https:evil.example", "/\u2215evil", "/" + strings.Repeat("a", 2048), "///evil.example", "http:///x", "//",
	} {
		if to == "/%09/../\\x" || !strings.Contains(to, "%") {
			page := w.visit(oidctest.NewBrowser(), signin.LoginPath+"?return_to="+url.QueryEscape(to), 400, "It would lead away")
			if len(page.Header.Values("Set-Cookie")) > 0 {
				t.Errorf("%q: a sign-in was begun", to)
			}
		}
	}
	w.visit(oidctest.NewBrowser(), signin.LoginPath+"?return_to=/a&return_to=//evil.example", 400, "")
}

func TestUntilTheProviderIsReachedNobodyCanSignInAndThePageSaysSo(t *testing.T) {
	w := newWorld(t, func(callback string) *oidctest.Provider { return oidctest.Start(t, callback) })
	b := oidctest.NewBrowser()
	w.visit(b, signin.LoginPath, 503, "has not reached the OpenID provider")
	w.visit(b, "/openapi.json", 200, "")
	w.discover()
	w.visit(b, signin.LoginPath, 200, "Username")
}

func TestPagesThatDoNotExist(t *testing.T) {
	w, _ := real(t)
	b := oidctest.NewBrowser()
	w.visit(b, "/auth/nothing", 404, "There is no such page")
	w.visit(b, signin.LogoutPath, 404, "")
}
