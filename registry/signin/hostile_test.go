// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/url"
	"strings"
	"testing"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/signin"
)

// Each ID token is what the provider really answers with, over TLS, in a whole sign-in; all but the first one must let nobody in.
func TestATokenThatIsNotForThisSignInLetsNobodyIn(t *testing.T) {
	var liar *oidctest.Liar
	w := newWorld(t, func(string) *oidctest.Provider {
		liar = oidctest.StartLiar(t)
		return liar.Provider
	})
	w.discover()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
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
			return liar.Sign(claims)
		}
	}
	hour := int64(time.Hour / time.Second)
	for _, tc := range []struct {
		name string
		lie  func(map[string]any) string
		why  string // "" lets in
	}{
		{"as it should be", func(claims map[string]any) string { return liar.Sign(claims) }, ""},
		{"for two clients, made for this one", func(c map[string]any) string {
			c["aud"], c["azp"] = []string{oidctest.ClientID, "other"}, oidctest.ClientID
			return liar.Sign(c)
		}, ""},
		{"for another client", with("aud", "other"), "token"},
		{"for two clients, made for the other", func(c map[string]any) string {
			c["aud"], c["azp"] = []string{oidctest.ClientID, "other"}, "other"
			return liar.Sign(c)
		}, "token"},
		{"for two clients, made for nobody knows whom", with("aud", []string{oidctest.ClientID, "other"}), "token"},
		{"for nobody", with("aud", nil), "token"},
		{"of another issuer", with("iss", "https://evil.example"), "token"},
		{"of no issuer", with("iss", nil), "token"},
		{"with the nonce of the sign-in before", func(c map[string]any) string {
			c["nonce"] = liar.Nonces()[0]
			return liar.Sign(c)
		}, "token"},
		{"without a nonce", with("nonce", nil), "token"},
		{"expired", with("exp", time.Now().Unix()-1), "token"},
		{"without an end", with("exp", nil), "token"},
		{"made an hour ago", with("iat", time.Now().Unix()-hour), "token"},
		{"made in an hour", with("iat", time.Now().Unix()+hour), "token"},
		{"not valid yet", with("nbf", time.Now().Unix()+hour), "token"},
		{"without a subject", with("sub", ""), "token"},
		{"with a subject longer than the standard allows", with("sub", strings.Repeat("x", 256)), "token"},
		{"signed with a key that is not published", func(c map[string]any) string { return oidctest.Sign(t, other, c) }, "token"},
		{"not signed", oidctest.Unsigned, "token"},
		{"signed with the public key as a secret", func(c map[string]any) string { return liar.Confused(c) }, "token"},
		{"signed with the client secret", oidctest.SecretSigned, "token"},
		{"cut", func(c map[string]any) string { s := liar.Sign(c); return s[:len(s)-8] }, "token"},
		{"changed after it was signed", func(c map[string]any) string {
			parts := strings.Split(liar.Sign(c), ".")
			c["sub"] = "b-2"
			parts[1] = strings.Split(oidctest.Unsigned(c), ".")[1]
			return strings.Join(parts, ".")
		}, "token"},
		{"no token", func(map[string]any) string { return "" }, "token"},
	} {
		liar.Lie(tc.lie)
		b := oidctest.NewBrowser()
		page, err := b.Get(t.Context(), w.url+signin.LoginPath)
		if err != nil {
			t.Fatal(err)
		}
		status, want := 200, "You are signed in"
		if tc.why != "" {
			status, want = 403, "You were not signed in"
		}
		if page.Status != status || !strings.Contains(page.Body, want) {
			t.Errorf("a token %s: %d\n%s", tc.name, page.Status, page.Body)
		}
		if got := w.denied.reasons(); got != tc.why {
			t.Errorf("a token %s: audited as %q, want %q", tc.name, got, tc.why)
		}
		status = 401
		if tc.why == "" {
			status = 200
		}
		w.visit(b, "/api/v1/me", status, "")
	}
	if strings.Contains(w.log.String(), "eyJ") {
		t.Error("a token is in the log")
	}
}

func TestASubjectIsAPrincipalOfItsIssuerWhateverItIsMadeOf(t *testing.T) {
	var liar *oidctest.Liar
	w := newWorld(t, func(string) *oidctest.Provider {
		liar = oidctest.StartLiar(t)
		return liar.Provider
	})
	w.discover()
	seen := make(map[string]string)
	for subject, want := range map[string]string{
		"auth0|5f7c": "auth0|5f7c", "a b": "a%20b", "a%20b": "a%2520b", "x#y": "x#y", "ünï": "%C3%BCn%C3%AF", "line\nend": "line%0Aend", "<b>": "<b>",
	} {
		liar.Lie(func(claims map[string]any) string {
			claims["sub"], claims["name"] = subject, "<script>alert(1)</script>"
			return liar.Sign(claims)
		})
		b := oidctest.NewBrowser()
		page := w.visit(b, signin.LoginPath, 200, "You are signed in")
		if strings.Contains(page.Body, "<script") || strings.Contains(page.Body, "<b>") {
			t.Errorf("the page is not escaped:\n%s", page.Body)
		}
		me := call[contract.Me](w, b, "/api/v1/me")
		if me.Principal != "user:"+liar.Issuer+"#"+want {
			t.Errorf("%q is %q", subject, me.Principal)
		}
		if before, ok := seen[me.Principal]; ok {
			t.Errorf("%q and %q are one", before, subject)
		}
		seen[me.Principal] = subject
	}
}

func TestAnAddressIsVerifiedOnlyIfTheProviderSaysSo(t *testing.T) {
	var liar *oidctest.Liar
	w := newWorld(t, func(string) *oidctest.Provider {
		liar = oidctest.StartLiar(t)
		return liar.Provider
	})
	w.discover()
	for _, tc := range []struct {
		verified any
		want     bool
	}{{true, true}, {"true", true}, {false, false}, {"false", false}, {nil, false}, {1, false}, {"yes", false}, {[]bool{true}, false}} {
		liar.Lie(func(claims map[string]any) string {
			claims["email_verified"] = tc.verified
			return liar.Sign(claims)
		})
		b := oidctest.NewBrowser()
		w.visit(b, signin.LoginPath, 200, "You are signed in")
		if me := call[contract.Me](w, b, "/api/v1/me"); (me.Email != nil) != tc.want {
			t.Errorf("email_verified %v: the address is %v", tc.verified, me.Email)
		}
	}
}

func TestAnAnswerOfAnotherIssuerIsRefused(t *testing.T) {
	var liar *oidctest.Liar
	w := newWorld(t, func(string) *oidctest.Provider {
		liar = oidctest.StartLiar(t)
		return liar.Provider
	})
	liar.Announce("https://evil.example")
	w.visit(oidctest.NewBrowser(), signin.LoginPath, 503, "")
	liar.Announce(liar.Issuer)
	w.discover()
	// RFC 9207: the answer names its issuer, so that a client of several is not mixed up.
	b := oidctest.NewBrowser()
	state := begun(t, w, b)
	w.visit(b, signin.CallbackPath+"?"+url.Values{"code": {"c"}, "state": {state}, "iss": {"https://evil.example"}}.Encode(), 403, "You were not signed in")
	if got := w.denied.reasons(); got != "issuer" {
		t.Errorf("audited as %q", got)
	}
	state = begun(t, w, b)
	w.visit(b, signin.CallbackPath+"?"+url.Values{"error": {"access_denied"}, "error_description": {"<script>"}, "state": {state}}.Encode(), 403, "You were not signed in")
	if got := w.denied.reasons(); got != "provider" {
		t.Errorf("audited as %q", got)
	}
}

// begun begins a sign-in and returns its state, without going to the provider.
func begun(t *testing.T, w *world, b *oidctest.Browser) string {
	t.Helper()
	b.CheckRedirect = oidctest.Stay
	defer func() { b.CheckRedirect = nil }()
	page, err := b.Get(t.Context(), w.url+signin.LoginPath)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(page.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	query := to.Query()
	if query.Get("code_challenge_method") != "S256" || query.Get("code_challenge") == "" || query.Get("nonce") == "" || query.Get("response_type") != "code" || len(query.Get("state")) != 43 {
		t.Errorf("the provider is asked %v", query)
	}
	return query.Get("state")
}
