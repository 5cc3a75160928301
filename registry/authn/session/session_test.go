// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const id = "0197a2b3-0000-7000-8000-00000000abcd"

type sessions func(id string, sum [32]byte) (store.Session, error)

func (f sessions) VerifySession(_ context.Context, id string, sum [32]byte) (store.Session, error) {
	return f(id, sum)
}

func TestAuthenticate(t *testing.T) {
	browser, cli := credential.New(session.Prefix, id), credential.New(session.CLIPrefix, id)
	alice := authz.Principal{Type: "user", ID: "https://idp.example#a:1", Session: id}
	for name, tc := range map[string]struct {
		kind    store.SessionKind
		headers []string
		err     error
		want    authz.Principal
		fails   error
	}{
		"a browser's session":                    {"browser", []string{"Cookie", session.CookieName + "=" + browser}, nil, alice, nil},
		"among other cookies":                    {"browser", []string{"Cookie", "a=b; " + session.CookieName + "=" + browser + "; c=d"}, nil, alice, nil},
		"the command line's":                     {"cli", []string{"Authorization", "Bearer " + cli}, nil, alice, nil},
		"a browser's as a bearer token":          {"browser", []string{"Authorization", "Bearer " + browser}, nil, authz.Principal{}, nil},
		"the command line's as a cookie":         {"cli", []string{"Cookie", session.CookieName + "=" + cli}, nil, authz.Principal{}, nil},
		"a cookie's text, stored as the other":   {"cli", []string{"Cookie", session.CookieName + "=" + browser}, nil, authz.Principal{}, nil},
		"under a cookie's name without a prefix": {"browser", []string{"Cookie", "lanyard-session=" + browser}, nil, authz.Principal{}, nil},
		"two cookies":                            {"browser", []string{"Cookie", session.CookieName + "=" + browser + "; " + session.CookieName + "=" + browser}, nil, authz.Principal{}, nil},
		"a cookie and another credential":        {"browser", []string{"Cookie", session.CookieName + "=" + browser, "Authorization", "Bearer x"}, nil, authz.Principal{}, nil},
		"a session that has ended":               {"browser", []string{"Cookie", session.CookieName + "=" + browser}, fmt.Errorf("x: %w", store.ErrNotFound), authz.Principal{}, nil},
		"a store that cannot tell":               {"browser", []string{"Cookie", session.CookieName + "=" + browser}, store.ErrUnavailable, authz.Principal{}, bearer.ErrUnchecked},
		"from another site":                      {"browser", []string{"Cookie", session.CookieName + "=" + browser, "Sec-Fetch-Site", "cross-site"}, nil, authz.Principal{}, session.ErrCrossOrigin},
		"from another origin, in an old browser": {"browser", []string{"Cookie", session.CookieName + "=" + browser, "Origin", "https://evil.example"}, nil, authz.Principal{}, session.ErrCrossOrigin},
		"from the public URL":                    {"browser", []string{"Cookie", session.CookieName + "=" + browser, "Origin", "https://lanyard.example"}, nil, alice, nil},
		"the command line's, wherever from":      {"cli", []string{"Authorization", "Bearer " + cli, "Sec-Fetch-Site", "cross-site"}, nil, alice, nil},
		"none":                                   {"browser", nil, nil, authz.Principal{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := session.Authenticator{Sessions: sessions(func(given string, sum [32]byte) (store.Session, error) {
				if given != id || sum != credential.Sum(browser) && sum != credential.Sum(cli) {
					t.Error("the store was asked for something else")
				}
				return store.Session{Meta: store.Meta{ID: id}, Principal: "user:https://idp.example#a:1", Kind: tc.kind}, tc.err
			})}
			if err := a.Protection.AddTrustedOrigin("https://lanyard.example"); err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "http://10.0.0.1/", nil)
			for i := 0; i < len(tc.headers); i += 2 {
				r.Header.Set(tc.headers[i], tc.headers[i+1])
			}
			got, err := a.Authenticate(r)
			if got != tc.want || !errors.Is(err, tc.fails) {
				t.Errorf("got %+v, %v", got, err)
			}
			if err != nil && (strings.Contains(err.Error(), browser) || strings.Contains(err.Error(), "evil")) {
				t.Errorf("the error quotes the request: %v", err)
			}
		})
	}
}
