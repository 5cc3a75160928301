// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// apiAudience is what service accounts call the administrators' API with.
const apiAudience = "lanyard-api"

// TestRoles shows who may do what: a member reads, an owner writes, a stranger finds nothing, and what is revoked is refused at once.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.put("stripe", "v1")
	organization := "/api/v1/organizations/" + w.org
	token := func(api *installation.API, name, role string) (*installation.API, string) {
		t.Helper()
		var created struct{ ID, Token string }
		w.must(api.Call(w.ctx, "POST", organization+"/tokens", map[string]any{"name": name, "role": role}, &created))
		return lanyard.API.As(created.Token), created.ID
	}
	owner, _ := token(lanyard.API, "terraform", "owner")
	member, memberID := token(owner, "dashboard", "member")
	elsewhere := newWorld(t)
	organization = "/api/v1/organizations/" + elsewhere.org
	stranger, _ := token(lanyard.API, "stranger", "owner")
	organization = "/api/v1/organizations/" + w.org

	// The service account of the world's pods becomes a member by its name.
	review, err := lanyard.Client.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{apiAudience}}}, metav1.CreateOptions{})
	w.must(err)
	job := lanyard.API.As(review.Status.Token)
	expect := func(who string, api *installation.API, method, path string, body any, want int) {
		t.Helper()
		got := http.StatusOK
		err := api.Call(w.ctx, method, path, body, nil)
		if refused, ok := errors.AsType[*installation.StatusError](err); ok {
			got = refused.Status
		} else if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		if got != want {
			t.Errorf("%s: %s %s answered %d, want %d", who, method, path, got, want)
		}
	}
	secret := organization + "/secrets/stripe"
	value := map[string]any{"value": "v2"}
	expect("a service account of no organization", job, "GET", secret, nil, 404)
	w.must(owner.Call(w.ctx, "POST", organization+"/members", map[string]any{"principal": "serviceaccount:" + w.namespace + "/" + account, "role": "member"}, nil))
	for who, api := range map[string]*installation.API{"a member's token": member, "a service account": job} {
		expect(who, api, "GET", secret, nil, 200)
		expect(who, api, "GET", secret+"/versions", nil, 200)
		expect(who, api, "PATCH", secret, value, 403)
		expect(who, api, "DELETE", secret, nil, 403)
		expect(who, api, "GET", organization+"/tokens", nil, 403)
		expect(who, api, "GET", organization+"/audit-events", nil, 403)
		expect(who, api, "GET", "/api/v1/organizations/"+elsewhere.org, nil, 404)
	}
	expect("an owner's token", owner, "PATCH", secret, value, 200)
	expect("an owner's token", owner, "GET", organization+"/audit-events", nil, 200)
	expect("an owner's token", owner, "DELETE", organization, nil, 403)
	expect("a stranger", stranger, "GET", secret, nil, 404)
	expect("a stranger", stranger, "GET", "/api/v1/organizations/no-such-organization/secrets/stripe", nil, 404)

	var audit struct {
		Items []struct{ Actor, Action string }
	}
	w.must(owner.Call(w.ctx, "GET", organization+"/audit-events?outcome=denied&actor=token:"+memberID, nil, &audit))
	if len(audit.Items) == 0 {
		t.Error("the member's refusals are not in the audit log")
	}
	expect("an owner's token", owner, "DELETE", organization+"/tokens/dashboard", nil, 200)
	expect("a revoked token", member, "GET", secret, nil, 401)
	w.noToken(owner.Token(), member.Token(), stranger.Token())
}

// noToken looks for tokens in what the registry has logged.
func (w *world) noToken(tokens ...string) {
	w.t.Helper()
	logs, err := lanyard.Cluster.Kubectl(w.ctx, "logs", "-n", installation.Namespace, "-l", "app.kubernetes.io/component=registry", "--tail=-1").CombinedOutput()
	w.must(err)
	if len(logs) == 0 {
		w.t.Error("the registry has logged nothing")
	}
	for _, token := range tokens {
		if bytes.Contains(logs, []byte(token[41:84])) {
			w.t.Error("a token is in the registry's log")
		}
	}
}
