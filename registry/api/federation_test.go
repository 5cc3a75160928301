// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// federationBody is a federation as it is asked for.
const federationBody = `{"name":"app","issuer":"https://token.actions.githubusercontent.com","audience":"https://lanyard.example","claims":{"sub":"repo:acme/app:ref:refs/heads/main"},"role":"member"}`

// anyIssuer is an operator who lets organizations trust all issuers but one.
type anyIssuer struct{}

func (anyIssuer) CheckIssuer(issuer string) error {
	if strings.Contains(issuer, "forbidden") {
		return errors.New("the operator does not allow it")
	}
	return nil
}

func TestAFederationIsMadeReadAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	a := w.do("POST", acme+"/federations", federationBody)
	made := decode[contract.Federation](t, a)
	if made.Name != "app" || made.Role != contract.RoleMember || made.LifetimeSeconds != 900 || made.Claims["sub"] != "repo:acme/app:ref:refs/heads/main" || a.status != 201 ||
		a.header.Get("Location") != "/api/v1/organizations/"+made.OrganizationID+"/federations/"+made.ID {
		t.Errorf("%d %+v", a.status, made)
	}
	w.expect("again", w.do("POST", acme+"/federations", federationBody), 409, contract.CodeAlreadyExists)
	for _, ref := range []string{"app", made.ID} {
		if got := decode[contract.Federation](t, w.do("GET", acme+"/federations/"+ref, "")); fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("got %+v, want %+v", got, made)
		}
	}
	w.expect("unchanged", w.do("GET", acme+"/federations/app", "", "If-None-Match", made.Etag), 304, "")
	if list := decode[contract.FederationList](t, w.do("GET", acme+"/federations", "")); len(list.Items) != 1 || list.Items[0].ID != made.ID {
		t.Errorf("got %+v", list)
	}
	w.expect("deleting another state", w.do("DELETE", acme+"/federations/app", "", "If-Match", `"1"`), 412, contract.CodePreconditionFailed)
	w.expect("deleting", w.do("DELETE", acme+"/federations/app", "", "If-Match", made.Etag), 204, "")
	w.expect("reading", w.do("GET", acme+"/federations/app", ""), 404, contract.CodeNotFound)
	w.expect("deleting again", w.do("DELETE", acme+"/federations/app", ""), 404, contract.CodeNotFound)

	var actions []string
	for _, e := range decode[contract.AuditEventList](t, w.do("GET", acme+"/audit-events?resource="+made.ID, "")).Items {
		actions = append(actions, e.Action)
	}
	if log := strings.Join(actions, " "); !strings.Contains(log, "federation.delete") || !strings.Contains(log, "federation.create") {
		t.Errorf("audited: %s", log)
	}
}

func TestAFederationThatTrustsTooManyIsRefused(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	for name, tc := range map[string]struct{ old, new, pointer string }{
		"an issuer the operator does not allow": {"token.actions.githubusercontent.com", "forbidden.example", "/issuer"},
		"an issuer without TLS":                 {"https://token", "http://token", "/issuer"},
		"an issuer with a query":                {"usercontent.com", "usercontent.com?x", "/issuer"},
		"no audience":                           {"https://lanyard.example", "", "/audience"},
		"everybody":                             {"repo:acme/app:ref:refs/heads/main", "*", "/claims/sub"},
		"every owner":                           {"repo:acme/app:ref:refs/heads/main", "repo:*", "/claims/sub"},
		"a branch of anybody":                   {`"sub":"repo:acme/app:`, `"ref":"`, "/claims"},
		"a claim with a slash in its name":      {`"sub":`, `"a/b~":"*","sub":`, "/claims/a~1b~0"},
		"no claims":                             {`{"sub":"repo:acme/app:ref:refs/heads/main"}`, `{}`, "/claims"},
		"a king":                                {`"role":"member"`, `"role":"king"`, "/role"},
		"an administrator":                      {`"role":"member"`, `"role":"admin"`, "/role"},
		"a day":                                 {`"role":`, `"lifetime_seconds":86400,"role":`, "/lifetime_seconds"},
		"a moment":                              {`"role":`, `"lifetime_seconds":1,"role":`, "/lifetime_seconds"},
		"an unknown field":                      {`"role":`, `"scope":"all","role":`, "/scope"},
	} {
		a := w.do("POST", acme+"/federations", strings.Replace(federationBody, tc.old, tc.new, 1))
		p := a.problem(t)
		if a.status != 422 || p.Errors == nil || len(*p.Errors) == 0 || (*p.Errors)[0].Pointer != tc.pointer {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	nobody := newWorld(t, func(c *api.Config) { c.Issuers = new(issuer.Issuers) })
	nobody.organization("acme")
	if a := nobody.do("POST", acme+"/federations", federationBody); a.status != 422 || !strings.Contains(string(a.body), "-federation-issuers") {
		t.Errorf("without an operator who allows any: %d %s", a.status, a.body)
	}
}

func TestAnOrganizationHasOnlySoManyFederations(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	for i := range store.MaxFederations {
		w.expect("creating", w.do("POST", acme+"/federations", strings.Replace(federationBody, `"app"`, fmt.Sprintf(`"app-%d"`, i), 1)), 201, "")
	}
	w.expect("one more", w.do("POST", acme+"/federations", federationBody), 409, contract.CodeQuotaExceeded)
	w.expect("deleting", w.do("DELETE", acme+"/federations/app-0", ""), 204, "")
	w.expect("in its place", w.do("POST", acme+"/federations", federationBody), 201, "")
}
