// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/authz"
)

// caller authenticates everybody as one principal.
type caller struct {
	principal authz.Principal
	err       error
}

func (c caller) Authenticate(*http.Request) (authz.Principal, error) { return c.principal, c.err }

// callers are all classes of callers there are.
var callers = map[string]struct {
	caller
	refused map[authz.Role]contract.Code // :: what the operation needs → the refusal; no entry: it goes on
}{
	"anonymous": {caller{}, map[authz.Role]contract.Code{
		authz.Authenticated: contract.CodeUnauthenticated, authz.Member: contract.CodeUnauthenticated, authz.Owner: contract.CodeUnauthenticated, authz.Admin: contract.CodeUnauthenticated,
	}},
	"somebody whose credential could not be checked": {caller{err: errors.New("unreadable")}, map[authz.Role]contract.Code{
		authz.Authenticated: contract.CodeUnauthenticated, authz.Member: contract.CodeUnauthenticated, authz.Owner: contract.CodeUnauthenticated, authz.Admin: contract.CodeUnauthenticated,
	}},
	"a principal without a role": {caller{principal: authz.Principal{Type: "token", ID: "x"}}, map[authz.Role]contract.Code{
		authz.Member: contract.CodeForbidden, authz.Owner: contract.CodeForbidden, authz.Admin: contract.CodeForbidden,
	}},
	"the bootstrap administrator": {caller{principal: authz.Principal{Type: "token", ID: "bootstrap", Admin: true}}, nil},
}

// needs restates the table for the operations of each kind, so that a slip of the pen in it fails here.
func needs(operation, method string) authz.Role {
	switch operation {
	case "getOpenAPI", "getOpenAPIYAML":
		return authz.Anyone
	case "getMe":
		return authz.Authenticated
	case "listOrganizations", "createOrganization", "deleteOrganization", "listInstallationAuditEvents":
		return authz.Admin
	}
	if method == http.MethodGet {
		return authz.Member
	}
	return authz.Owner
}

func TestEveryRouteIsGuarded(t *testing.T) {

	routes, err := api.Routes(api.Config{Store: failing{}, Authenticator: caller{}, Checker: checks{}})
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
		h, err := api.New(api.Config{Store: failing{store: errReached}, Authenticator: class.caller, Checker: checks{}})
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
			path := strings.NewReplacer(":organization", "acme", ":secret", "s", ":consumer", "c", ":provider", "p", ":version", "1").Replace(route.Path)
			body := &watched{Reader: strings.NewReader("{}")}
			r := httptest.NewRequest(route.Method, path, body)
			r.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			handlers[name].ServeHTTP(rec, r)
			checkAnswer(t, r, answer{rec.Code, rec.Header(), rec.Body.Bytes()})
			want, refused := class.refused[rule.Needs]
			if !refused {
				if rec.Code == http.StatusUnauthorized || rec.Code == http.StatusForbidden {
					t.Errorf("%s: %s is refused: %s", name, id, rec.Body)
				}
				continue
			}
			if rec.Code != want.Info().Status {
				t.Errorf("%s: %s answered %d, want %s", name, id, rec.Code, want)
			}
			if body.read {
				t.Errorf("%s: the body of %s was read before it was refused", name, id)
			}
		}
	}
}

// watched notes whether a body was read.
type watched struct {
	io.Reader
	read bool
}

func (w *watched) Read(p []byte) (int, error) { w.read = true; return w.Reader.Read(p) }
