// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// people can sign in at the suites' OpenID provider. None of them may become an administrator of the installation: the bootstrap token, which the suites use, would end.
var people = []string{"olivia", "max"}

// TestSignIn has people sign in at a real OpenID provider, with browsers and with the command line, and shows what their roles let them do.
func TestSignIn(t *testing.T) {
	w := newWorld(t)
	const value = "sign-in-canary-5b1f0c"
	w.put("stripe", value)
	elsewhere := newWorld(t)
	organization := "/api/v1/organizations/" + w.org
	secret := organization + "/secrets/stripe"
	enter := func(name string) (*installation.Browser, string) {
		t.Helper()
		browser, err := lanyard.Browser(w.ctx)
		w.must(err)
		var principal string
		w.must(eventually(w.ctx, func() (err error) { // a registry that has just started may not have asked the provider yet
			principal, err = browser.SignIn(w.ctx, name)
			return err
		}))
		if !strings.HasPrefix(principal, "user:https://") || !strings.HasSuffix(principal, "#"+name) {
			t.Fatalf("%s signed in as %s", name, principal)
		}
		return browser, principal
	}
	expect := func(who string, api *installation.API, method, path string, body any, want int) {
		t.Helper()
		got := http.StatusOK
		var answer any
		err := api.Call(w.ctx, method, path, body, &answer)
		if refused, ok := errors.AsType[*installation.StatusError](err); ok {
			got = refused.Status
		} else if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		if got != want {
			t.Errorf("%s: %s %s answered %d, want %d", who, method, path, got, want)
		}
		if holds(answer, value) {
			t.Errorf("%s: %s %s answered with the value", who, method, path)
		}
	}

	ownersBrowser, owner := enter("olivia")
	membersBrowser, member := enter("max")
	for who, api := range map[string]*installation.API{"olivia": ownersBrowser.API(), "max": membersBrowser.API()} {
		expect(who+", who is nobody's member", api, "GET", secret, nil, 404)
	}
	w.must(lanyard.API.Call(w.ctx, "POST", organization+"/members", map[string]any{"principal": owner, "role": "owner"}, nil))
	w.must(ownersBrowser.API().Call(w.ctx, "POST", organization+"/members", map[string]any{"principal": member, "role": "member"}, nil))
	for path, want := range map[string]int{
		"": 200, "/secrets": 200, "/secrets/stripe": 200, "/secrets/stripe/versions": 200, "/secrets/stripe/value": 404, "/audit-events": 200,
	} {
		expect("the owner", ownersBrowser.API(), "GET", organization+path, nil, want)
	}
	expect("the owner", ownersBrowser.API(), "PATCH", secret, map[string]any{"description": "seen"}, 200)
	expect("the owner", ownersBrowser.API(), "GET", "/api/v1/organizations/"+elsewhere.org, nil, 404)
	expect("the member", membersBrowser.API(), "GET", secret, nil, 200)
	expect("the member", membersBrowser.API(), "PATCH", secret, map[string]any{"description": "mine"}, 403)
	expect("the member", membersBrowser.API(), "DELETE", secret, nil, 403)
	expect("the member", membersBrowser.API(), "GET", organization+"/audit-events", nil, 403)
	expect("the member", membersBrowser.API(), "GET", "/api/v1/organizations/"+elsewhere.org, nil, 404)
	expect("the member", membersBrowser.API(), "GET", "/api/v1/administrators", nil, 403)

	// The command line is let in with the member's browser, and may what the member may.
	command, err := lanyard.CommandLine(w.ctx, t.TempDir())
	w.must(err)
	w.must(command.Login(w.ctx, membersBrowser, w.org))
	run := func(wantFailure string, args ...string) {
		t.Helper()
		out, err := command.Run(w.ctx, args...)
		if wantFailure == "" && err != nil || wantFailure != "" && (err == nil || !strings.Contains(err.Error(), wantFailure)) {
			t.Errorf("lanyard %s: %v, want %q", strings.Join(args, " "), err, wantFailure)
		}
		if strings.Contains(out, value) {
			t.Errorf("lanyard %s shows the value", strings.Join(args, " "))
		}
	}
	out, err := command.Run(w.ctx, "whoami", "-o", "name")
	if err != nil || strings.TrimSpace(out) != "principal/"+member {
		t.Errorf("whoami: %s, %v", out, err)
	}
	run("", "secret", "get", "stripe", "-o", "json")
	run("exit status 4", "secret", "create", "another", "--generate", "20")
	run("", "doctor")

	// Its session is among the member's, and ends from the browser at once.
	var sessions struct {
		Items []struct {
			ID, Kind string
		}
	}
	w.must(membersBrowser.API().Call(w.ctx, "GET", "/api/v1/me/sessions", nil, &sessions))
	ended := 0
	for _, s := range sessions.Items {
		if s.Kind == "cli" {
			w.must(membersBrowser.API().Call(w.ctx, "DELETE", "/api/v1/me/sessions/"+s.ID, nil, nil))
			ended++
		}
	}
	if ended == 0 {
		t.Error("the command line's session is not in the list")
	}
	run("exit status 4", "secret", "get", "stripe")

	// Signing out ends the browser's.
	page, err := ownersBrowser.Post(w.ctx, "/auth/logout", nil)
	if err != nil || page.Status != 200 {
		t.Errorf("signing out: %d, %v", page.Status, err)
	}
	expect("who has signed out", ownersBrowser.API(), "GET", secret, nil, 401)
}

// holds reports whether a text of a decoded JSON value holds another.
func holds(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		for _, e := range v {
			if holds(e, text) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if holds(e, text) {
				return true
			}
		}
	}
	return false
}
