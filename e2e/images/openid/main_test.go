// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// A person is sent back to the client with a code for the right password, and to the form again otherwise.
func TestThePasswordDecides(t *testing.T) {
	const issuer, redirect = "https://openid.example", "https://lanyard.example/auth/callback"
	handler := provider(issuer, redirect, "secret", newPeople("right", []string{"alice"}))
	ask := func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	var discovered struct {
		Issuer string
		Auth   string `json:"authorization_endpoint"`
	}
	if err := json.Unmarshal(ask(httptest.NewRequest("GET", issuer+"/.well-known/openid-configuration", nil)).Body.Bytes(), &discovered); err != nil || discovered.Issuer != issuer {
		t.Fatalf("discovered %+v, %v", discovered, err)
	}
	begin := discovered.Auth + "?" + url.Values{"client_id": {clientID}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}}.Encode()
	login := ask(httptest.NewRequest("GET", begin, nil)).Header().Get("Location")
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(ask(httptest.NewRequest("GET", issuer+login, nil)).Body.String())
	if id == nil {
		t.Fatalf("no form at %s", login)
	}
	for _, try := range []struct{ name, password, want string }{{"alice", "wrong", ""}, {"bob", "right", ""}, {"alice", "right", "/auth/callback"}} {
		r := httptest.NewRequest("POST", issuer+"/login/username", strings.NewReader(url.Values{"username": {try.name}, "password": {try.password}, "id": {id[1]}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := ask(r).Header().Get("Location"); (got == "") != (try.want == "") || !strings.Contains(got, try.want) {
			t.Errorf("%s with %q is sent to %q", try.name, try.password, got)
		}
	}
}
