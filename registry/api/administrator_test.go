// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const administratorsURL = "/api/v1/administrators"

func TestTheBootstrapTokenEndsWithTheFirstAdministrator(t *testing.T) {
	refused := new(recorded)
	w := newWorld(t, func(c *api.Config) { c.Denials = refused })
	w.organization("acme")
	w.expect("somebody who is none", w.as("User alice", "GET", administratorsURL, ""), 403, contract.CodeForbidden)
	alice := decode[contract.Administrator](t, w.do("POST", administratorsURL, `{"principal":"user:alice"}`))
	w.expect("a second time", w.do("POST", administratorsURL, `{"principal":"user:alice"}`), 409, contract.CodeAlreadyExists)
	w.expect("nobody's principal", w.do("POST", administratorsURL, `{"principal":"token:bootstrap"}`), 422, contract.CodeValidation)
	if list := decode[contract.AdministratorList](t, w.do("GET", administratorsURL, "")); !list.BootstrapToken.Accepted || list.BootstrapToken.EndedAt != nil {
		t.Errorf("the token ended before anybody signed in: %+v", list.BootstrapToken)
	}
	w.expect("others stay what they are", w.as("User bob", "GET", administratorsURL, ""), 403, contract.CodeForbidden)

	if me := decode[contract.Me](t, w.as("User alice", "GET", "/api/v1/me", "")); !me.Admin {
		t.Errorf("she is no administrator: %+v", me)
	}
	w.expect("the bootstrap token afterwards", w.do("GET", "/api/v1/organizations", ""), 401, contract.CodeUnauthenticated)
	if p := w.do("GET", "/api/v1/me", "").problem(t); !strings.Contains(or(p.Detail), "bootstrap token has ended") {
		t.Errorf("its holder is not told why: %s", or(p.Detail))
	}
	if !slices.ContainsFunc(refused.events, func(e audit.Event) bool {
		return e.Actor == "token:bootstrap" && e.Action == "organization.list" && e.Reason == "unauthenticated"
	}) {
		t.Errorf("refusals: %+v", refused.events)
	}
	list := decode[contract.AdministratorList](t, w.as("User alice", "GET", administratorsURL, ""))
	if token := list.BootstrapToken; token.Accepted || or(token.EndedBy) != "user:alice" || token.EndedAt == nil || token.BreakGlass != nil {
		t.Errorf("got %+v", token)
	}

	// She does what the token did, and cannot leave the installation without an administrator.
	w.expect("creating an organization", w.as("User alice", "POST", "/api/v1/organizations", `{"slug":"hers"}`), 201, "")
	w.expect("managing members of another", w.as("User alice", "POST", acme+"/members", `{"principal":"user:carol","role":"owner"}`), 201, "")
	w.expect("a quota", w.as("User alice", "PATCH", acme, `{"quota":{"secrets":10}}`), 200, "")
	w.expect("leaving", w.as("User alice", "DELETE", administratorsURL+"/user:alice", ""), 409, contract.CodeLastAdministrator)
	w.expect("a stale ETag", w.as("User alice", "DELETE", administratorsURL+"/"+alice.ID, "", "If-Match", `"1"`), 412, contract.CodePreconditionFailed)
	w.expect("another one", w.as("User alice", "POST", administratorsURL, `{"principal":"serviceaccount:ops/terraform"}`), 201, "")
	w.expect("leaving now", w.as("User alice", "DELETE", administratorsURL+"/"+alice.ID, "", "If-Match", alice.Etag), 204, "")
	w.expect("she was one", w.as("User alice", "GET", administratorsURL, ""), 403, contract.CodeForbidden)
	w.expect("the token stays ended", w.do("GET", "/api/v1/organizations", ""), 401, contract.CodeUnauthenticated)
}

func TestAnEndedBootstrapTokenIsAcceptedOnRequest(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.BreakGlass = true })
	w.expect("adding", w.do("POST", administratorsURL, `{"principal":"user:alice"}`), 201, "")
	w.expect("signing in", w.as("User alice", "GET", "/api/v1/me", ""), 200, "")
	list := decode[contract.AdministratorList](t, w.do("GET", administratorsURL, ""))
	if token := list.BootstrapToken; !token.Accepted || token.EndedAt == nil || token.BreakGlass == nil || !*token.BreakGlass {
		t.Errorf("got %+v", token)
	}
}

// A fault makes nobody an administrator and brings no token back.
func TestAdministrationThatCannotBeReadAllowsNothing(t *testing.T) {
	ended := &store.BootstrapEnd{At: time.Unix(0, 0), By: "user:alice"}
	for name, tc := range map[string]struct {
		principal authz.Principal
		store     api.Store
		want      int
	}{
		"reading fails, for the bootstrap token": {authz.Principal{Type: "token", ID: "bootstrap", Admin: true}, administrationFails{read: store.ErrUnavailable}, 503},
		"reading fails, for a person":            {authz.Principal{Type: "user", ID: "alice"}, administrationFails{read: store.ErrUnavailable}, 503},
		"its record does not verify":             {authz.Principal{Type: "token", ID: "bootstrap", Admin: true}, administrationFails{read: store.ErrIntegrity}, 500},
		"ending the token fails":                 {authz.Principal{Type: "user", ID: "alice"}, administrationFails{known: store.Administration{Administrator: true}, end: store.ErrUnavailable}, 503},
		"ending it cannot be audited":            {authz.Principal{Type: "user", ID: "alice"}, administrationFails{known: store.Administration{Administrator: true}, end: store.ErrAudit}, 503},
		"an administrator after its end":         {authz.Principal{Type: "user", ID: "alice"}, administrationFails{known: store.Administration{Administrator: true, BootstrapEnd: ended}, end: errors.New("asked again")}, 200},
		"a service account ends nothing":         {authz.Principal{Type: "serviceaccount", ID: "a/b"}, administrationFails{known: store.Administration{Administrator: true}, end: errors.New("asked")}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := api.New(api.Config{Store: tc.store, Authenticator: caller{principal: tc.principal}, Checker: checks{}, Explainer: &resolve.Explainer{}, Issuers: anyIssuer{}})
			if err != nil {
				t.Fatal(err)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, administratorsURL, nil))
			if rec.Code != tc.want {
				t.Errorf("got %d %s, want %d", rec.Code, rec.Body, tc.want)
			}
		})
	}
}

// administrationFails is a store whose administrators are a fault of it.
type administrationFails struct {
	failing
	read, end error
	known     store.Administration
}

func (a administrationFails) Administration(context.Context, string) (store.Administration, error) {
	return a.known, a.read
}

func (a administrationFails) EndBootstrap(context.Context, store.Act, string) error { return a.end }

func TestAdministratorsEndSessionsOfOthers(t *testing.T) {
	w := newWorld(t)
	made, err := w.store.CreateSession(t.Context(), store.Act{Actor: "user:bob"}, store.Session{
		Principal: "user:bob", Kind: store.SessionBrowser, ExpiresAt: time.Now().Add(time.Hour), Idle: time.Hour,
	}, func(string) [32]byte { return sha256.Sum256(nil) })
	if err != nil {
		t.Fatal(err)
	}
	const sessions = "/api/v1/sessions"
	list := decode[contract.SessionList](t, w.do("GET", sessions+"?principal=user:bob", ""))
	if len(list.Items) != 1 || list.Items[0].ID != made.ID || list.Items[0].Current {
		t.Fatalf("got %+v", list)
	}
	w.expect("without saying whose", w.do("GET", sessions, ""), 422, contract.CodeValidation)
	w.expect("somebody else's", w.do("DELETE", sessions+"/"+made.ID+"?principal=user:alice", ""), 404, contract.CodeNotFound)
	w.expect("by somebody who is no administrator", w.as("User bob", "DELETE", sessions+"/"+made.ID+"?principal=user:bob", ""), 403, contract.CodeForbidden)
	w.expect("ending it", w.do("DELETE", sessions+"/"+made.ID+"?principal=user:bob", ""), 204, "")
	if list := decode[contract.SessionList](t, w.do("GET", sessions+"?principal=user:bob", "")); len(list.Items) != 0 {
		t.Errorf("it goes on: %+v", list)
	}
}
