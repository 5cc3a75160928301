// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authz"
)

func TestServiceAccountsCallTheAdministratorsAPI(t *testing.T) {
	c := authntest.New(t)
	pods := authntest.Good(c, "api") // for audience "lanyard"
	c.AddAccount("ci", "deployer")
	callers := authn.Callers{Authenticator: newAuthenticator(t, c, func(c *authn.Config) { c.Audience = "lanyard-api" })}
	sign := func(change func(*authntest.Token)) string {
		token := authntest.Token{Namespace: "ci", Account: "deployer", Audiences: []string{"lanyard-api"}}
		change(&token)
		return c.Sign(token)
	}
	deployer := authz.Principal{Type: "serviceaccount", ID: "ci/deployer"}
	for name, tc := range map[string]struct {
		header string
		want   authz.Principal
	}{
		"a token for our audience":             {"Bearer " + sign(func(*authntest.Token) {}), deployer},
		"a token of a pod":                     {"Bearer " + c.Sign(authntest.Token{Namespace: authntest.Namespace, Account: authntest.Account, Pod: "api", Audiences: []string{"lanyard-api"}}), authz.Principal{Type: "serviceaccount", ID: authntest.Namespace + "/" + authntest.Account}},
		"the token a pod gets its values with": {"Bearer " + pods, authz.Principal{}},
		"a token for us and somebody else":     {"Bearer " + sign(func(t *authntest.Token) { t.Audiences = []string{"lanyard-api", "vault"} }), authz.Principal{}},
		"a token for the API server":           {"Bearer " + sign(func(t *authntest.Token) { t.Audiences = []string{"https://kubernetes.default.svc"} }), authz.Principal{}},
		"an expired token":                     {"Bearer " + sign(func(t *authntest.Token) { t.Expires = time.Now().Add(-time.Hour) }), authz.Principal{}},
		"a token in another scheme":            {"Basic " + sign(func(*authntest.Token) {}), authz.Principal{}},
		"another credential":                   {"Bearer lyd_boot_x", authz.Principal{}},
		"a huge one":                           {"Bearer " + strings.Repeat("x", 1<<17), authz.Principal{}},
		"none":                                 {"", authz.Principal{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := callers.Authenticate(request(t, tc.header)); got != tc.want || err != nil || got.Admin {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}

	token := sign(func(*authntest.Token) {})
	c.DeleteAccount("ci", "deployer")
	if got, err := callers.Authenticate(request(t, "Bearer "+token)); !got.Anonymous() || err != nil {
		t.Errorf("of a deleted account: %+v, %v", got, err)
	}
	c.Break(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	got, err := callers.Authenticate(request(t, "Bearer "+token))
	if !got.Anonymous() || !errors.Is(err, bearer.ErrUnchecked) || strings.Contains(err.Error(), token) {
		t.Errorf("without the API server: %+v, %v", got, err)
	}
}

func request(t *testing.T, authorization string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set("Authorization", authorization)
	return r
}
