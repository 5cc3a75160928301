// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
)

// post is a request of an operation, and what makes it another one.
type post struct {
	path, body string
	other      string // another body; if there is none, another If-Match is sent, or, where that is no parameter, the path is other
}

// posts is a request of each POST of the document, in an organization "acme" with what [world.organization] puts there, a secret "gone" that is deleted, providers
// "vault-prod" and "vault-dev", a second version of "stripe", which is active, and two
// running pods. What each does, it would do again, or refuse, if it were sent without a key.
var posts = map[string]post{ // :: operationId → request
	"createOrganization": {"/api/v1/organizations", `{"slug":"umbrella"}`, `{"slug":"globex"}`},
	"createSecret":       {acme + "/secrets", `{"name":"once","value":"v"}`, `{"name":"once","value":"w"}`},
	"putSecrets":         {acme + "/secrets/batch", `{"secrets":[{"name":"one","value":"v"},{"name":"two","generate":{}}]}`, `{"secrets":[{"name":"one","value":"w"}]}`},
	"importSecrets":      {acme + "/secrets/import", `{"content":"A=1\nB=2\n"}`, `{"content":"A=1\n"}`},
	"undeleteSecret":     {acme + "/secrets/gone/undelete", "", ""},
	"putVersion":         {acme + "/secrets/stripe/versions", `{"value":"staged","activate":false}`, `{"value":"staged"}`},
	"activateVersion":    {acme + "/secrets/stripe/versions/1/activate", "", ""},
	"destroyVersion":     {acme + "/secrets/stripe/versions/1/destroy", "", ""},
	"checkSecret":        {acme + "/secrets/stripe/check", "", acme + "/secrets/gone/check"},
	"createProvider":     {acme + "/providers", `{"name":"once","type":"vault","config":{"address":"https://vault.example","auth":{"method":"token"}},"credentials":{"token":"t"}}`, `{"name":"twice","type":"vault","config":{"address":"https://vault.example","auth":{"method":"token"}},"credentials":{"token":"t"}}`},
	"testProvider":       {acme + "/providers/vault-prod/test", "", acme + "/providers/vault-dev/test"},
	"createConsumer":     {acme + "/consumers", `{"name":"once","envs":[{"name":"A","secret":"stripe"}]}`, `{"name":"once"}`},
	"addMember":          {acme + "/members", `{"principal":"user:once","role":"owner"}`, `{"principal":"user:once","role":"member"}`},
	"addAdministrator":   {"/api/v1/administrators", `{"principal":"user:once"}`, `{"principal":"user:twice"}`},
	"stopWorkload":       {acme + "/workloads/uid-api-1/stop", "", acme + "/workloads/uid-api-2/stop"},
	"stopWorkloads":      {acme + "/secrets/stripe/stop-workloads", "", acme + "/secrets/stripe/stop-workloads?force=true"},
	"createInvitation":   {acme + "/invitations", `{"email":"once@acme.example","role":"member"}`, `{"email":"once@acme.example","role":"owner"}`},
	"createToken":        {acme + "/tokens", `{"name":"once","role":"member"}`, `{"name":"once","role":"owner"}`},
	"createFederation":   {acme + "/federations", federationBody, strings.Replace(federationBody, "member", "owner", 1)},
}

// anonymousPosts are for callers who have no name yet, and so no keys of their own.
var anonymousPosts = map[string]string{} // :: operationId → why

// personal are POSTs that this test's caller, the bootstrap token, may not make. :: operationId → the test that makes them twice
var personal = map[string]string{"acceptInvitation": "TestAnOwnerInvitesAndTheCodeIsShownOnce"}

// questions are POSTs that change nothing and whose answer is of the moment.
var questions = map[string]bool{"explain": true} // :: operationId

func TestEveryPostWithAKeyIsAnsweredTwiceAndDoneOnce(t *testing.T) {
	_, operations, err := api.LoadDocument()
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for pattern, op := range operations {
		id := api.OperationID(op)
		if !strings.HasPrefix(pattern, http.MethodPost+" ") || anonymousPosts[id] != "" || personal[id] != "" || questions[id] {
			continue
		}
		p, ok := posts[id]
		if !ok {
			t.Errorf("%s is not in the table of this test", id)
			continue
		}
		known++
		t.Run(id, func(t *testing.T) {
			if !api.TakesKey(op) {
				t.Fatal("it does not declare Idempotency-Key")
			}
			w := newWorld(t)
			w.organization("acme")
			w.vault("acme", "vault-prod", "https://127.0.0.1:1", "", "t")
			w.vault("acme", "vault-dev", "https://127.0.0.1:1", "", "t")
			gone := decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"gone"}`))
			for _, pod := range []string{"api-1", "api-2"} {
				w.started(pod, contract.Consumer{OrganizationID: gone.OrganizationID, ID: "c"}, contract.Secret{ID: "s"})
			}
			w.do("DELETE", acme+"/secrets/gone", "")
			decode[contract.Version](t, w.do("POST", acme+"/secrets/stripe/versions", `{"value":"second"}`))
			headers := []string{"Idempotency-Key", "key-" + id}
			if _, secret, ok := strings.Cut(p.path, "/secrets/"); ok && p.other == "" || id == "putVersion" {
				secret, _, _ = strings.Cut(secret, "/")
				headers = append(headers, "If-Match", w.do("GET", acme+"/secrets/"+secret, "").header.Get("ETag")) // stale as soon as it is done
			}
			first := w.do("POST", p.path, p.body, headers...)
			if first.status/100 != 2 {
				t.Fatalf("%d %s", first.status, first.body)
			}
			written := w.tip()
			second := w.do("POST", p.path, p.body, headers...)
			if second.status != first.status || string(second.body) != string(first.body) {
				t.Errorf("the second answer is another:\n%d %s\n%d %s", first.status, first.body, second.status, second.body)
			}
			for _, name := range []string{"ETag", "Location"} {
				if a, b := first.header.Get(name), second.header.Get(name); a != b {
					t.Errorf("%s is %q and then %q", name, a, b)
				}
			}
			if w.tip() != written {
				t.Error("it was done twice")
			}
			switch {
			case p.body != "":
				p.body = p.other
			case p.other != "":
				p.path = p.other
			default:
				headers = append(headers[:2:2], "If-Match", `*`)
			}
			a := w.do("POST", p.path, p.body, headers...)
			if a.status != 422 || a.problem(t).Code() != contract.CodeIdempotencyKeyReuse {
				t.Errorf("another request with the key: %d %s", a.status, a.body)
			}
		})
	}
	if known != len(posts) {
		t.Errorf("%d POSTs in the document, %d in the table", known, len(posts))
	}
}

// tip is the revision of the last mutation.
func (w *world) tip() int64 {
	w.t.Helper()
	resp, err := w.etcd.Get(w.t.Context(), "/lanyard/v1/tip")
	if err != nil || len(resp.Kvs) != 1 {
		w.t.Fatal(resp, err)
	}
	return resp.Kvs[0].ModRevision
}

func TestAnAnswerThatIsRepeatedIsTheCallersOwn(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	decode[contract.Member](t, w.do("POST", acme+"/members", `{"principal":"user:alice","role":"owner"}`))
	decode[contract.Member](t, w.do("POST", acme+"/members", `{"principal":"user:bob","role":"owner"}`))
	mine := w.do("POST", acme+"/tokens", `{"name":"ci","role":"owner"}`, "Idempotency-Key", "the-same-key", "Authorization", "User alice")
	again := w.do("POST", acme+"/tokens", `{"name":"ci","role":"owner"}`, "Idempotency-Key", "the-same-key", "Authorization", "User alice")
	token := decode[contract.APITokenCreated](t, mine).Token
	if decode[contract.APITokenCreated](t, again).Token != token {
		t.Error("the repeated answer has another token")
	}
	other := w.do("POST", acme+"/tokens", `{"name":"ci","role":"owner"}`, "Idempotency-Key", "the-same-key", "Authorization", "User bob")
	if other.status != 409 || strings.Contains(string(other.body), token) {
		t.Errorf("somebody else got %d %s", other.status, other.body)
	}
	w.do("DELETE", acme+"/members/user:alice", "")
	if gone := w.do("POST", acme+"/tokens", `{"name":"ci","role":"owner"}`, "Idempotency-Key", "the-same-key", "Authorization", "User alice"); gone.status != 404 {
		t.Errorf("who may no more got %d %s", gone.status, gone.body)
	}
}

func TestAKeyHasAForm(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"short", strings.Repeat("x", 129), "with a space"} {
		if a := w.do("POST", "/api/v1/organizations", `{"slug":"acme"}`, "Idempotency-Key", key); a.status != 422 {
			t.Errorf("%q: %d %s", key, a.status, a.body)
		}
	}
}
