// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
)

const acceptURL = "/api/v1/invitations/accept"

func TestAnOwnerInvitesAndTheCodeIsShownOnce(t *testing.T) {
	refused := new(recorded)
	w := newWorld(t, func(c *api.Config) { c.Denials = refused })
	w.organization("acme")
	w.organization("other")
	w.expect("an owner", w.do("POST", acme+"/members", `{"principal":"user:alice","role":"owner"}`), 201, "")
	w.expect("a member", w.do("POST", acme+"/members", `{"principal":"user:carol","role":"member"}`), 201, "")
	const body = `{"email":"bob@acme.example","role":"member"}`
	w.expect("inviting above one's role", w.as("User carol", "POST", acme+"/invitations", `{"email":"bob@acme.example","role":"owner"}`), 403, contract.CodeForbidden)
	w.expect("inviting at all", w.as("User carol", "POST", acme+"/invitations", body), 403, contract.CodeForbidden)
	w.expect("seeing who is invited", w.as("User carol", "GET", acme+"/invitations", ""), 403, contract.CodeForbidden)

	made := decode[contract.InvitationCreated](t, w.as("User alice", "POST", acme+"/invitations", body, "Idempotency-Key", "invitation-of-bob-1"))
	if !strings.HasPrefix(made.Code, "lyd_inv_"+made.ID+"_") || *made.Email != "bob@acme.example" || made.Principal != nil || made.CreatedBy != "user:alice" {
		t.Errorf("got %+v", made)
	}
	if again := decode[contract.InvitationCreated](t, w.as("User alice", "POST", acme+"/invitations", body, "Idempotency-Key", "invitation-of-bob-1")); again.ID != made.ID || again.Code != made.Code {
		t.Errorf("the same request again: %+v", again)
	}
	for _, a := range []answer{w.as("User alice", "GET", acme+"/invitations", ""), w.as("User alice", "GET", acme+"/invitations/"+made.ID, ""), w.as("User alice", "GET", acme+"/audit-events", "")} {
		if a.status != 200 || strings.Contains(string(a.body), made.Code) || !strings.Contains(string(a.body), made.ID) {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}

	code := `{"code":"` + made.Code + `"}`
	for what, wrong := range map[string]string{
		"a guess":          `{"code":"guess"}`,
		"another checksum": `{"code":"` + made.Code[:len(made.Code)-1] + `~"}`,
		"an API token":     `{"code":"` + strings.TrimPrefix(w.apiToken("acme", "ci", contract.RoleOwner), "Bearer ") + `"}`,
	} {
		w.expect(what, w.as("User bob", "POST", acceptURL, wrong), 404, contract.CodeNotFound)
	}
	w.expect("nobody", w.do("POST", acceptURL, code, "Authorization", ""), 401, contract.CodeUnauthenticated)
	w.expect("the bootstrap token", w.do("POST", acceptURL, code), 403, contract.CodeForbidden)
	w.expect("an API token", w.as(w.apiToken("other", "ci", contract.RoleOwner), "POST", acceptURL, code), 403, contract.CodeForbidden)
	w.expect("a member", w.as("User carol", "POST", acceptURL, code), 409, contract.CodeAlreadyExists)
	m := decode[contract.Member](t, w.as("User bob", "POST", acceptURL, code, "Idempotency-Key", "acceptance-1"))
	if again := decode[contract.Member](t, w.as("User bob", "POST", acceptURL, code, "Idempotency-Key", "acceptance-1")); again != m {
		t.Errorf("the same request again: %+v", again)
	}
	if m.Principal != "user:bob" || m.Role != contract.RoleMember || m.CreatedBy != "user:alice" {
		t.Errorf("got %+v", m)
	}
	w.expect("he is in", w.as("User bob", "GET", acme+"/secrets", ""), 200, "")
	w.expect("somebody else", w.as("User mallory", "POST", acceptURL, code), 404, contract.CodeNotFound)
	w.expect("it is gone", w.as("User alice", "GET", acme+"/invitations/"+made.ID, ""), 404, contract.CodeNotFound)

	next := decode[contract.InvitationCreated](t, w.as("User alice", "POST", acme+"/invitations", `{"principal":"user:dave","role":"owner"}`))
	w.expect("another person's", w.as("User mallory", "POST", acceptURL, `{"code":"`+next.Code+`"}`), 404, contract.CodeNotFound)
	w.expect("in another organization", w.do("DELETE", "/api/v1/organizations/other/invitations/"+next.ID, ""), 404, contract.CodeNotFound)
	w.expect("with a stale ETag", w.as("User alice", "DELETE", acme+"/invitations/"+next.ID, "", "If-Match", `"1"`), 412, contract.CodePreconditionFailed)
	w.expect("revoking", w.as("User alice", "DELETE", acme+"/invitations/"+next.ID, "", "If-Match", next.Etag), 204, "")
	w.expect("a revoked one", w.as("User dave", "POST", acceptURL, `{"code":"`+next.Code+`"}`), 404, contract.CodeNotFound)
	for _, secret := range []string{made.Code, next.Code} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("a code stands in the log")
		}
	}
}
