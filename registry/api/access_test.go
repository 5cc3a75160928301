// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// caller authenticates everybody as one principal.
type caller struct {
	principal authz.Principal
	err       error
}

func (c caller) Authenticate(*http.Request) (authz.Principal, error) { return c.principal, c.err }

// There is one organization, whose id is acmeID; its members are these.
const acmeID = "0197a2b3-0000-7000-8000-00000000acae"

var acmeRoles = map[string]store.Role{"user:member": store.RoleMember, "user:owner": store.RoleOwner}

// guarded is a store that knows one organization and its members when a caller is admitted, and nothing else: what gets past that fails with errReached.
type guarded struct {
	failing
	ended *store.BootstrapEnd // of the bootstrap token
}

func (g guarded) Organization(ctx context.Context, ref string) (store.Organization, error) {
	switch ref {
	case "acme":
		return store.Organization{Meta: store.Meta{ID: acmeID}, Slug: "acme"}, nil
	case acmeID: // as whoever was admitted is served
		return g.failing.Organization(ctx, ref)
	}
	return store.Organization{}, store.ErrNotFound
}

func (g guarded) Administration(_ context.Context, principal string) (store.Administration, error) {
	return store.Administration{Administrator: principal == "user:admin" || principal == "serviceaccount:ops/admin", BootstrapEnd: g.ended}, nil
}

func (g guarded) EndBootstrap(context.Context, store.Act, string) error { return nil }

func (g guarded) Standing(_ context.Context, ref, principal string) (store.Organization, store.Role, error) {
	if role, ok := acmeRoles[principal]; ok && (ref == "acme" || ref == acmeID) {
		return store.Organization{Meta: store.Meta{ID: acmeID}, Slug: "acme"}, role, nil
	}
	return store.Organization{}, "", store.ErrNotFound
}

type refusals map[authz.Role]contract.Code // :: what the operation needs → the refusal; no entry: it goes on

var (
	unknown = refusals{
		authz.Authenticated: contract.CodeUnauthenticated, authz.Member: contract.CodeUnauthenticated, authz.Owner: contract.CodeUnauthenticated, authz.Admin: contract.CodeUnauthenticated,
	}
	stranger = refusals{authz.Member: contract.CodeNotFound, authz.Owner: contract.CodeNotFound, authz.Admin: contract.CodeForbidden}
	aMember  = refusals{authz.Owner: contract.CodeForbidden, authz.Admin: contract.CodeForbidden}
	anOwner  = refusals{authz.Admin: contract.CodeForbidden}
)

// callers are all classes of callers there are.
var callers = map[string]struct {
	caller
	refused refusals
}{
	"anonymous": {caller{}, unknown},
	"somebody whose credential could not be checked": {caller{err: errors.New("unreadable")}, unknown},
	"somebody of no organization":                    {caller{principal: authz.Principal{Type: "user", ID: "stranger"}}, stranger},
	"a service account of no organization":           {caller{principal: authz.Principal{Type: "serviceaccount", ID: "a/b"}}, stranger},
	"a member":                                       {caller{principal: authz.Principal{Type: "user", ID: "member"}}, aMember},
	"an owner":                                       {caller{principal: authz.Principal{Type: "user", ID: "owner"}}, anOwner},
	"a member's token":                               {caller{principal: authz.Principal{Type: "token", ID: "t", Org: acmeID, Role: authz.Member}}, aMember},
	"an owner's token":                               {caller{principal: authz.Principal{Type: "token", ID: "t", Org: acmeID, Role: authz.Owner}}, anOwner},
	"an owner's token of another organization":       {caller{principal: authz.Principal{Type: "token", ID: "t", Org: "other", Role: authz.Owner}}, stranger},
	"a token without a role":                         {caller{principal: authz.Principal{Type: "token", ID: "t", Org: acmeID}}, stranger},
	"a token that claims to be an administrator":     {caller{principal: authz.Principal{Type: "token", ID: "t", Org: acmeID, Role: authz.Admin}}, stranger},
	"a recorded administrator":                       {caller{principal: authz.Principal{Type: "user", ID: "admin"}}, nil},
	"a service account that is one":                  {caller{principal: authz.Principal{Type: "serviceaccount", ID: "ops/admin"}}, nil},
	"a token whose name is an administrator's":       {caller{principal: authz.Principal{Type: "token", ID: "admin", Org: acmeID, Role: authz.Owner}}, anOwner},
	"the bootstrap administrator":                    {caller{principal: authz.Principal{Type: "token", ID: "bootstrap", Admin: true}}, nil},
}

// needs restates the table for the operations of each kind, so that a slip of the pen in it fails here.
func needs(operation, method string) authz.Role {
	switch operation {
	case "getOpenAPI", "getOpenAPIYAML":
		return authz.Anyone
	case "getMe", "listOrganizations", "listSessions", "revokeSession", "acceptInvitation":
		return authz.Authenticated
	case "createOrganization", "deleteOrganization", "listDeletions", "listAdministrators", "addAdministrator", "getAdministrator", "removeAdministrator", "listSessionsOf", "revokeSessionOf", "listInstallationAuditEvents", "readInstallationAuditChain", "verifyInstallationAuditChain":
		return authz.Admin
	case "listAuditEvents", "readAuditChain", "verifyAuditChain", "listTokens", "getToken", "getOrganizationContents", "listInvitations", "getInvitation":
		return authz.Owner
	}
	if method == http.MethodGet || operation == "explain" { // a question too long for a query
		return authz.Member
	}
	return authz.Owner
}

func TestEveryRouteIsGuarded(t *testing.T) {
	routes, err := api.Routes(api.Config{Store: failing{}, Authenticator: caller{}, Checker: checks{}, Explainer: &resolve.Explainer{}, Issuers: anyIssuer{}})
	if err != nil {
		t.Fatal(err)
	}
	_, operations, err := api.LoadDocument()
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != len(operations) || len(routes) != len(authz.Rules) {
		t.Errorf("%d routes, %d operations in the document, %d rules", len(routes), len(operations), len(authz.Rules))
	}
	handlers := make(map[string]http.Handler)
	for name, class := range callers {
		h, err := api.New(api.Config{Store: guarded{failing: failing{store: errReached}}, Authenticator: class.caller, Checker: checks{}, Explainer: &resolve.Explainer{}, Issuers: anyIssuer{}, Rate: 1e6, Burst: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		handlers[name] = h
	}
	for _, route := range routes {
		op := operations[route.Method+" "+route.Path]
		if op == nil {
			t.Errorf("%s %s is not in the document", route.Method, route.Path)
			continue
		}
		id := api.OperationID(op)
		rule, ok := authz.Rules[id]
		if !ok {
			t.Errorf("%s %s: %s has no rule", route.Method, route.Path, id)
		}
		if want := needs(id, route.Method); rule.Needs != want {
			t.Errorf("%s needs role %d, want %d", id, rule.Needs, want)
		}
		for name, class := range callers {
			send := func(organization string) (*httptest.ResponseRecorder, *watched) {
				body := &watched{Reader: strings.NewReader("{}")}
				r := httptest.NewRequest(route.Method, placeholders("acme").Replace(strings.Replace(route.Path, ":organization", organization, 1)), body)
				r.Header.Set("Content-Type", "application/json")
				rec := httptest.NewRecorder()
				handlers[name].ServeHTTP(rec, r)
				checkAnswer(t, r, answer{rec.Code, rec.Header(), rec.Body.Bytes()})
				return rec, body
			}
			rec, body := send("acme")
			want, refused := class.refused[rule.Needs]
			if want == contract.CodeForbidden && class.refused[authz.Member] == contract.CodeNotFound && strings.Contains(route.Path, ":organization") {
				want = contract.CodeNotFound // to delete an organization takes an administrator, but strangers must not learn that it exists
			}
			if !refused {
				if rec.Code == http.StatusUnauthorized || rec.Code == http.StatusForbidden || rec.Code == http.StatusNotFound {
					t.Errorf("%s: %s is refused: %s", name, id, rec.Body)
				}
				continue
			}
			if rec.Code != want.Info().Status || !strings.Contains(rec.Body.String(), string(want)) {
				t.Errorf("%s: %s answered %d, want %s", name, id, rec.Code, want)
			}
			if body.read {
				t.Errorf("%s: the body of %s was read before it was refused", name, id)
			}
			if want == contract.CodeNotFound {
				if nothing, _ := send("nothing"); anonymized(nothing) != anonymized(rec) {
					t.Errorf("%s: %s tells an organization from none:\n%s\n%s", name, id, anonymized(rec), anonymized(nothing))
				}
			}
		}
	}
}

// placeholders replaces the parameters of a pattern of Gin.
func placeholders(organization string) *strings.Replacer {
	return strings.NewReplacer(":organization", organization, ":secret", "s", ":consumer", "c", ":provider", "p", ":version", "1", ":member", "user:m", ":token", "t", ":federation", "f", ":workload", "w", ":administrator", "a", ":session", "0197a2b3-0000-7000-8000-000000000000")
}

var requestID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// anonymized is an answer without what is different each time.
func anonymized(rec *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintln(&b, rec.Code)
	_ = rec.Header().Write(&b)
	b.WriteString(rec.Body.String())
	return requestID.ReplaceAllString(b.String(), "ID")
}

// watched notes whether a body was read.
type watched struct {
	io.Reader
	read bool
}

func (w *watched) Read(p []byte) (int, error) { w.read = true; return w.Reader.Read(p) }
