// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// as sends a request with another credential than the administrator's.
func (w *world) as(credential, method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.do(method, path, body, append(headers, "Authorization", credential)...)
}

// expect fails the test unless an answer has a status and, if it is a problem, a code.
func (w *world) expect(what string, a answer, status int, code contract.Code) {
	w.t.Helper()
	if a.status != status {
		w.t.Errorf("%s: %d %s, want %d", what, a.status, a.body, status)
		return
	}
	if code != "" && a.problem(w.t).Code() != code {
		w.t.Errorf("%s: %s, want %s", what, a.body, code)
	}
}

// apiToken creates a token in an organization and returns its credential.
func (w *world) apiToken(org, name string, role contract.Role) string {
	w.t.Helper()
	created := decode[contract.APITokenCreated](w.t, w.do("POST", "/api/v1/organizations/"+org+"/tokens", `{"name":`+quote(name)+`,"role":"`+string(role)+`"}`))
	return "Bearer " + created.Token
}

func TestRolesInAnOrganization(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	w.organization("other")
	for principal, role := range map[string]string{"user:alice": "owner", "user:bob": "member"} {
		w.expect("adding "+principal, w.do("POST", acme+"/members", `{"principal":"`+principal+`","role":"`+role+`"}`), 201, "")
	}
	owners := []string{"User alice", w.apiToken("acme", "terraform", contract.RoleOwner)}
	members := []string{"User bob", w.apiToken("acme", "dashboard", contract.RoleMember)}
	strangers := []string{"User mallory", w.apiToken("other", "terraform", contract.RoleOwner)}

	for _, who := range slices.Concat(owners, members) {
		for _, path := range []string{"", "/secrets", "/secrets/stripe", "/secrets/stripe/versions", "/secrets/stripe/versions/1", "/secrets/stripe/references", "/consumers", "/consumers/api", "/members", "/members/user:bob"} {
			w.expect(who[:8]+" reads "+path, w.as(who, "GET", acme+path, ""), 200, "")
		}
		list := decode[contract.OrganizationList](t, w.as(who, "GET", "/api/v1/organizations", ""))
		if len(list.Items) != 1 || list.Items[0].Slug != "acme" {
			t.Errorf("organizations are %+v", list.Items)
		}
		w.expect("creating an organization", w.as(who, "POST", "/api/v1/organizations", `{"slug":"mine"}`), 403, contract.CodeForbidden)
		w.expect("deleting one", w.as(who, "DELETE", acme, ""), 403, contract.CodeForbidden)
		w.expect("reading the installation's log", w.as(who, "GET", "/api/v1/audit-events", ""), 403, contract.CodeForbidden)
		w.expect("reading another organization", w.as(who, "GET", "/api/v1/organizations/other/secrets", ""), 404, contract.CodeNotFound)
	}
	for _, who := range members {
		for _, request := range []string{
			"POST /secrets " + `{"name":"x","value":"y"}`, "PATCH /secrets/stripe " + `{"value":"y"}`, "DELETE /secrets/stripe?force=true", "POST /secrets/stripe/versions " + `{"value":"y"}`,
			"DELETE /consumers/api", "PATCH  " + `{"display_name":"x"}`, "POST /members " + `{"principal":"user:x","role":"owner"}`, "PATCH /members/user:bob " + `{"role":"owner"}`,
			"DELETE /members/user:alice", "POST /tokens " + `{"name":"x","role":"member"}`, "GET /tokens", "GET /tokens/terraform", "DELETE /tokens/terraform", "GET /audit-events",
		} {
			method, rest, _ := strings.Cut(request, " ")
			path, body, _ := strings.Cut(rest, " ")
			w.expect("a member: "+request, w.as(who, method, acme+path, body), 403, contract.CodeForbidden)
		}
	}
	for i, who := range owners {
		name := fmt.Sprint("new", i)
		w.expect("an owner creates", w.as(who, "POST", acme+"/secrets", `{"name":"`+name+`","value":"v"}`), 201, "")
		w.expect("an owner changes", w.as(who, "PATCH", acme+"/secrets/"+name, `{"value":"w"}`), 200, "")
		w.expect("an owner deletes", w.as(who, "DELETE", acme+"/secrets/"+name, ""), 204, "")
		w.expect("an owner adds", w.as(who, "POST", acme+"/members", `{"principal":"serviceaccount:ci/`+name+`","role":"member"}`), 201, "")
		w.expect("an owner makes a token", w.as(who, "POST", acme+"/tokens", `{"name":"`+name+`","role":"owner"}`), 201, "")
		w.expect("an owner revokes it", w.as(who, "DELETE", acme+"/tokens/"+name, ""), 204, "")
		w.expect("an owner reads the log", w.as(who, "GET", acme+"/audit-events", ""), 200, "")
	}
	for _, who := range strangers {
		w.expect("a stranger", w.as(who, "GET", acme, ""), 404, contract.CodeNotFound)
	}
	me := decode[contract.Me](t, w.as("User bob", "GET", "/api/v1/me", ""))
	if me.Principal != "user:bob" || me.Admin || len(me.Memberships) != 1 || me.Memberships[0].Organization != "acme" || me.Memberships[0].Role != contract.RoleMember {
		t.Errorf("got %+v", me)
	}
	me = decode[contract.Me](t, w.as(owners[1], "GET", "/api/v1/me", ""))
	if !strings.HasPrefix(me.Principal, "token:") || me.Admin || len(me.Memberships) != 1 || me.Memberships[0].Role != contract.RoleOwner {
		t.Errorf("got %+v", me)
	}
	if me = decode[contract.Me](t, w.as("User mallory", "GET", "/api/v1/me", "")); len(me.Memberships) != 0 {
		t.Errorf("got %+v", me)
	}
}

func TestWhoFoundsAnOrganizationOwnsIt(t *testing.T) {
	w := newWorld(t)
	w.expect("founding", w.as("Admin carol", "POST", "/api/v1/organizations", `{"slug":"acme"}`), 201, "")
	m := decode[contract.Member](t, w.as("User carol", "GET", acme+"/members/user:carol", ""))
	if m.Role != contract.RoleOwner || m.CreatedBy != "user:carol" {
		t.Errorf("got %+v", m)
	}
	w.organization("other")
	if list := decode[contract.MemberList](t, w.do("GET", "/api/v1/organizations/other/members", "")); len(list.Items) != 0 {
		t.Errorf("the bootstrap token became %+v", list.Items)
	}
}

// Every parameter that takes an id is tried with the ids of another organization, by an owner of this one; nothing is found, and nothing is told from what
// does not exist.
func TestNobodyReachesIntoAnotherOrganization(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	w.organization("other")
	w.expect("adding", w.do("POST", acme+"/members", `{"principal":"user:victim","role":"owner"}`), 201, "")
	w.apiToken("acme", "target", contract.RoleOwner)
	const provider = `{"name":"vault","type":"vault","config":{"address":"https://vault.example","auth":{"method":"token"}},"credentials":{"token":"t"}}`
	w.expect("creating", w.do("POST", acme+"/providers", provider), 201, "")
	w.expect("inviting", w.do("POST", acme+"/invitations", `{"email":"guest@acme.example","role":"member"}`), 201, "")
	w.expect("trusting", w.do("POST", acme+"/federations", federationBody), 201, "")
	id := func(path string) string {
		list := decode[struct {
			Items []struct{ ID string } `json:"items"`
		}](t, w.do("GET", acme+path, ""))
		return list.Items[0].ID
	}
	acmeID := decode[contract.Organization](t, w.do("GET", acme, "")).ID
	w.started("api-1", contract.Consumer{OrganizationID: acmeID, ID: id("/consumers")}, contract.Secret{ID: id("/secrets")})
	ids := map[string]string{":workload": "uid-api-1", ":secret": id("/secrets"), ":consumer": id("/consumers"), ":provider": id("/providers"), ":member": id("/members"), ":token": id("/tokens"), ":invitation": id("/invitations"), ":federation": id("/federations")}
	bodies := map[string]string{
		"updateOrganization": `{"display_name":"x"}`, "createSecret": `{"name":"x"}`, "updateSecret": `{"value":"x"}`, "putVersion": `{"value":"x"}`,
		"createConsumer": `{"name":"x"}`, "replaceConsumer": `{"name":"x"}`, "updateConsumer": `{"description":"x"}`,
		"addMember": `{"principal":"user:x","role":"owner"}`, "updateMember": `{"role":"member"}`, "createToken": `{"name":"x","role":"owner"}`, "createFederation": federationBody,
		"createInvitation": `{"email":"x@y.example","role":"member"}`, "createProvider": provider, "updateProvider": `{"name":"x"}`,
		"putSecrets": `{"secrets":[{"name":"x"}]}`, "importSecrets": `{"content":"X=x"}`,
		"explain": `{"namespace":"billing","service_account":"api"}`,
	}
	_, operations, err := api.LoadDocument()
	if err != nil {
		t.Fatal(err)
	}
	intruder := w.apiToken("other", "intruder", contract.RoleOwner)
	before := w.inventory("acme")
	tried := 0
	for _, key := range slices.Sorted(maps.Keys(operations)) {
		method, pattern, _ := strings.Cut(key, " ")
		operation := api.OperationID(operations[key])
		if !strings.Contains(pattern, ":organization") {
			continue
		}
		body := bodies[operation]
		if body == "" && (method == "PATCH" || method == "PUT" || method == "POST" && !strings.Contains(pattern, "/undelete") && !strings.Contains(pattern, "/activate") && !strings.Contains(pattern, "/destroy") && !strings.Contains(pattern, "/check") && !strings.Contains(pattern, "/test") && !strings.Contains(pattern, "/stop")) {
			t.Errorf("%s: no body to try it with", operation)
		}
		var pairs, unknown []string
		for parameter, id := range ids {
			pairs, unknown = append(pairs, parameter, id), append(unknown, parameter, "0197a2b3-0000-7000-8000-000000000000")
		}
		pairs, unknown = append(pairs, ":version", "1"), append(unknown, ":version", "1")
		try := func(organization string, parameters []string) string {
			tried++
			path := strings.NewReplacer(append([]string{":organization", organization}, parameters...)...).Replace(pattern)
			a := w.as(intruder, method, path, body)
			w.expect(operation+" "+organization, a, 404, contract.CodeNotFound)
			return requestID.ReplaceAllString(string(a.body), "ID")
		}
		nothing := try("nothing", unknown)
		for _, organization := range []string{"acme", acmeID} {
			if got := try(organization, pairs); got != nothing {
				t.Errorf("%s: %s is told from nothing:\n%s\n%s", operation, organization, got, nothing)
			}
		}
		if strings.Count(pattern, ":") == 1 {
			continue // of the intruder's own organization
		}
		if got := try("other", pairs); got != nothing {
			t.Errorf("%s: an id of another organization is told from nothing:\n%s\n%s", operation, got, nothing)
		}
	}
	if tried < 90 {
		t.Errorf("only %d requests were tried", tried)
	}
	w.expect("a secret of another organization in an ENV", w.as(intruder, "POST", "/api/v1/organizations/other/consumers", `{"name":"x","envs":[{"name":"A","secret":"`+ids[":secret"]+`"}]}`), 422, contract.CodeValidation)
	if diff := cmp.Diff(before, w.inventory("acme")); diff != "" {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
}

// inventory is everything the lists of an organization say.
func (w *world) inventory(org string) []string {
	var all []string
	for _, path := range []string{"", "/secrets", "/secrets?deleted=true", "/consumers", "/providers", "/members", "/tokens", "/federations"} {
		all = append(all, string(w.do("GET", "/api/v1/organizations/"+org+path, "").body))
	}
	return all
}

func TestATokenIsShownOnceAndNeverAgain(t *testing.T) {
	denials := new(recorded)
	w := newWorld(t, func(c *api.Config) { c.Denials = denials })
	w.organization("acme")
	a := w.do("POST", acme+"/tokens", `{"name":"ci","role":"member"}`)
	created := decode[contract.APITokenCreated](t, a)
	if id, err := apitoken.Parse(created.Token); err != nil || id != created.ID || a.header.Get("Location") != "/api/v1/organizations/"+created.OrganizationID+"/tokens/"+created.ID {
		t.Errorf("got %+v, %v, %s", created, err, a.header.Get("Location"))
	}
	if life := time.Until(created.ExpiresAt); life > store.DefaultTokenLife || life < store.DefaultTokenLife-time.Minute {
		t.Errorf("it lives %s", life)
	}
	credential := "Bearer " + created.Token
	for _, request := range []string{
		"GET /tokens", "GET /tokens/ci", "GET /tokens/" + created.ID, "GET /tokens/" + created.Token, "GET /audit-events", "GET /secrets", "GET ",
		"POST /tokens " + `{"name":"ci","role":"member"}`, "POST /tokens " + `{"name":` + quote("."+created.Token) + `,"role":"member"}`, "POST /members " + `{"principal":` + quote(created.Token) + `,"role":"member"}`,
		"DELETE /tokens/ci",
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		w.as(credential, method, acme+path, body)
		w.as(credential+"x", method, acme+path, body)
		w.as("Basic "+created.Token, method, acme+path, body)
		w.do(method, acme+path, body)
	}
	w.as(credential, "GET", "/api/v1/me", "")
	secret := strings.Split(created.Token, created.ID+"_")[1][:43]
	if n := strings.Count(w.answers.String(), secret); n != 1 {
		t.Errorf("the text is in answers %d times", n)
	}
	if n := strings.Count(w.log.String(), secret); n != 0 {
		t.Errorf("the log holds the text %d times", n)
	}
	for _, e := range denials.events {
		if strings.Contains(fmt.Sprintf("%+v", e), secret) {
			t.Errorf("an event holds the text: %+v", e)
		}
	}
}

func TestARevokedTokenIsLikeAnyOther(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	credential := w.apiToken("acme", "ci", contract.RoleMember)
	w.expect("before", w.as(credential, "GET", acme, ""), 200, "")
	w.expect("revoking", w.do("DELETE", acme+"/tokens/ci", ""), 204, "")
	revoked := w.as(credential, "GET", acme, "")
	w.expect("after", revoked, 401, contract.CodeUnauthenticated)
	unknown := w.as("Bearer "+apitoken.New("0197a2b3-0000-7000-8000-000000000000"), "GET", acme, "")
	none := w.as("", "GET", acme, "")
	for _, a := range []answer{unknown, none} {
		if requestID.ReplaceAllString(string(a.body), "") != requestID.ReplaceAllString(string(revoked.body), "") {
			t.Errorf("got %s and %s", a.body, revoked.body)
		}
	}
}

func TestATokenMakesNoneThatOutlivesIt(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	parent := decode[contract.APITokenCreated](t, w.do("POST", acme+"/tokens", `{"name":"parent","role":"owner","expires_at":"`+ends.Format(time.RFC3339)+`"}`))
	credential := "Bearer " + parent.Token
	p := w.as(credential, "POST", acme+"/tokens", `{"name":"child","role":"owner","expires_at":"`+ends.Add(time.Second).Format(time.RFC3339)+`"}`)
	w.expect("longer", p, 422, contract.CodeValidation)
	child := decode[contract.APITokenCreated](t, w.as(credential, "POST", acme+"/tokens", `{"name":"child","role":"owner"}`))
	if !child.ExpiresAt.Equal(ends) || child.CreatedBy != "token:"+parent.ID {
		t.Errorf("got %+v", child)
	}
	w.expect("too long a life", w.do("POST", acme+"/tokens", `{"name":"x","role":"owner","expires_at":"2999-01-01T00:00:00Z"}`), 422, contract.CodeValidation)
}

func TestTheLastOwnerNeedsAnAdministratorToGo(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	m := decode[contract.Member](t, w.do("POST", acme+"/members", `{"principal":"user:alice","role":"owner"}`))
	alice := acme + "/members/user:alice"
	w.expect("leaving", w.as("User alice", "DELETE", alice, ""), 409, contract.CodeLastOwner)
	w.expect("stepping down", w.as("User alice", "PATCH", acme+"/members/"+m.ID, `{"role":"member"}`), 409, contract.CodeLastOwner)
	w.expect("leaving by force", w.as("User alice", "DELETE", alice+"?force=true", ""), 403, contract.CodeForbidden)
	w.expect("an administrator without force", w.do("DELETE", alice, ""), 409, contract.CodeLastOwner)
	w.expect("at another state", w.do("DELETE", alice+"?force=true", "", "If-Match", `"1"`), 412, contract.CodePreconditionFailed)
	w.expect("an administrator with force", w.do("DELETE", alice+"?force=true", "", "If-Match", m.Etag), 204, "")
	w.expect("afterwards", w.as("User alice", "GET", acme, ""), 404, contract.CodeNotFound)
}

// recorded keeps what it hears.
type recorded struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorded) Record(_ context.Context, events ...audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
}

func TestRefusalsAreRecorded(t *testing.T) {
	denials := new(recorded)
	w := newWorld(t, func(c *api.Config) { c.Denials = denials })
	w.organization("acme")
	id := decode[contract.Organization](t, w.do("GET", acme, "")).ID
	w.expect("adding", w.do("POST", acme+"/members", `{"principal":"user:bob","role":"member"}`), 201, "")
	w.expect("adding", w.do("POST", acme+"/members", `{"principal":"user:alice","role":"owner"}`), 201, "")
	for _, request := range []struct{ who, method, path, body string }{
		{"User bob", "DELETE", acme + "/secrets/stripe", ""},
		{"User mallory", "GET", acme + "/secrets", ""},
		{"User mallory", "GET", "/api/v1/organizations/nothing/secrets", ""},
		{"User mallory", "POST", "/api/v1/organizations", `{"slug":"x"}`},
		{"User alice", "DELETE", acme + "/members/user:alice?force=true", ""},
		{"", "GET", acme, ""},                // nobody known: the log has it
		{"User bob", "GET", acme, ""},        // allowed
		{"User bob", "GET", acme + "/x", ""}, // no operation
	} {
		w.as(request.who, request.method, request.path, request.body)
	}
	type row struct{ actor, org, action, reason string }
	var got []row
	for _, e := range denials.events {
		if e.ID == "" || e.Time.IsZero() || e.RequestID == "" || e.SourceIP == "" || e.Outcome != audit.Denied || e.ResourceName != "" {
			t.Errorf("got %+v", e)
		}
		got = append(got, row{e.Actor, e.OrgID, string(e.Action), e.Reason})
	}
	want := []row{
		{"user:bob", id, "secret.delete", "forbidden"},
		{"user:mallory", "", "secret.list", "not-found"},
		{"user:mallory", "", "secret.list", "not-found"},
		{"user:mallory", "", "organization.create", "forbidden"},
		{"user:alice", id, "member.remove", "forbidden"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A valid token must not look revoked because the store is away.
func TestATokenThatCannotBeCheckedIsNotCalledInvalid(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		code contract.Code
	}{
		"it was not checked":  {fmt.Errorf("%w: %w", bearer.ErrUnchecked, store.ErrUnavailable), contract.CodeUnavailable},
		"something unknown":   {fmt.Errorf("x"), contract.CodeUnauthenticated},
		"there is no problem": {nil, contract.CodeUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t}
			w.serve(failing{store: store.ErrNotFound}, func(c *api.Config) { c.Authenticator = api.FirstOf(caller{}, caller{err: tc.err}) })
			w.expect("asking", w.do("GET", acme, ""), tc.code.Info().Status, tc.code)
			w.expect("what is for anyone", w.do("GET", "/openapi.json", ""), 200, "")
		})
	}
}

func TestTheFirstAuthenticatorThatKnowsCounts(t *testing.T) {
	alice, bob := authz.Principal{Type: "user", ID: "alice"}, authz.Principal{Type: "user", ID: "bob"}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	got, err := api.FirstOf(caller{}, caller{err: store.ErrUnavailable}, caller{principal: alice}, caller{principal: bob}).Authenticate(r)
	if got != alice || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := api.FirstOf(caller{principal: alice, err: store.ErrUnavailable}, caller{}).Authenticate(r); !got.Anonymous() || err == nil {
		t.Errorf("an error counts for somebody: %v, %v", got, err)
	}
}

func TestMembersAreReadAsTheDocumentSays(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	added := w.do("POST", acme+"/members", `{"principal":"serviceaccount:ci/deployer","role":"member"}`)
	m := decode[contract.Member](t, added)
	if want := acme[:len("/api/v1/organizations/")] + m.OrganizationID + "/members/" + m.ID; added.header.Get("Location") != want {
		t.Errorf("location is %s, want %s", added.header.Get("Location"), want)
	}
	w.expect("by the location", w.do("GET", added.header.Get("Location"), ""), 200, "")
	w.expect("as it is known", w.do("GET", acme+"/members/"+m.ID, "", "If-None-Match", m.Etag), 304, "")
	w.expect("again", w.do("POST", acme+"/members", `{"principal":"serviceaccount:ci/deployer","role":"owner"}`), 409, contract.CodeAlreadyExists)
	changed := decode[contract.Member](t, w.do("PATCH", acme+"/members/"+m.ID, `{"role":"owner"}`, "If-Match", m.Etag))
	if changed.Role != contract.RoleOwner || changed.Etag == m.Etag {
		t.Errorf("got %+v", changed)
	}
	for _, body := range []string{`{"principal":"group:x","role":"member"}`, `{"principal":"user:","role":"member"}`, `{"principal":"serviceaccount:x","role":"member"}`, `{"principal":"user:x"}`, `{"principal":"user:x","role":"admin"}`, `{"principal":"user:x y","role":"member"}`, `{"principal":"user:x","role":"member","admin":true}`} {
		w.expect(body, w.do("POST", acme+"/members", body), 422, contract.CodeValidation)
	}
	token := decode[contract.APITokenCreated](t, w.do("POST", acme+"/tokens", `{"name":"ci","role":"member"}`))
	w.expect("a token as it is known", w.do("GET", acme+"/tokens/ci", "", "If-None-Match", token.Etag), 304, "")
	w.expect("revoking another state", w.do("DELETE", acme+"/tokens/ci", "", "If-Match", `"1"`), 412, contract.CodePreconditionFailed)
	w.expect("the name again", w.do("POST", acme+"/tokens", `{"name":"ci","role":"owner"}`), 409, contract.CodeAlreadyExists)
}
