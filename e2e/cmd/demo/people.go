// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// Who signs in, by their names at the OpenID provider.
const (
	ownerName  = "alice"
	memberName = "bob"
)

// signIn has two people sign in, each in a browser of their own, and gives them their roles. Having signed in gives no right yet.
func (t *tour) signIn(ctx context.Context) error {
	if err := t.API.Call(ctx, "POST", "/api/v1/organizations", map[string]any{"slug": "globex", "display_name": "Globex"}, nil); err != nil {
		return err
	}
	for _, person := range []struct {
		name, role string
		api        **installation.API
	}{{ownerName, "owner", &t.owner}, {memberName, "member", &t.member}} {
		browser, err := t.Browser(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		principal, err := browser.SignIn(ctx, person.name)
		if err != nil {
			return err
		}
		t.say("%s signed in by code and PKCE in %s: %s", person.name, time.Since(began).Round(time.Millisecond), principal)
		*person.api = browser.API()
		if err := t.asked(ctx, person.name, *person.api, "GET", "/api/v1/organizations/acme", nil, http.StatusNotFound); err != nil {
			return err
		}
		if err := t.API.Call(ctx, "POST", "/api/v1/organizations/acme/members", map[string]any{"principal": principal, "role": person.role}, nil); err != nil {
			return err
		}
		t.say("%s is now %s of acme", person.name, person.role)
	}
	return nil
}

// showRoles asks as both for what the owner may and the member may not, and for what nobody may.
func (t *tour) showRoles(ctx context.Context) error {
	const secret = "/api/v1/organizations/acme/secrets/greeting"
	change := map[string]any{"description": "what the front page says"}
	for _, request := range []struct {
		who          string
		api          *installation.API
		method, path string
		body         any
		want         int
	}{
		{memberName, t.member, "GET", secret, nil, http.StatusOK},
		{memberName, t.member, "GET", secret + "/versions", nil, http.StatusOK},
		{memberName, t.member, "PATCH", secret, change, http.StatusForbidden},
		{memberName, t.member, "GET", "/api/v1/organizations/globex", nil, http.StatusNotFound},
		{ownerName, t.owner, "PATCH", secret, change, http.StatusOK},
		{ownerName, t.owner, "GET", "/api/v1/organizations/acme/audit-events", nil, http.StatusOK},
		{ownerName, t.owner, "GET", secret, nil, http.StatusOK},
		{ownerName, t.owner, "GET", secret + "/value", nil, http.StatusNotFound},
		{ownerName, t.owner, "GET", "/api/v1/organizations/globex", nil, http.StatusNotFound},
	} {
		if err := t.asked(ctx, request.who, request.api, request.method, request.path, request.body, request.want); err != nil {
			return err
		}
	}
	t.say("no answer held a value: there is no route that returns one")
	return nil
}

// asked calls the API, demands a status and an answer without a value, and says so.
func (t *tour) asked(ctx context.Context, who string, api *installation.API, method, path string, body any, want int) error {
	status := http.StatusOK
	var answer any
	err := api.Call(ctx, method, path, body, &answer)
	if refused, ok := errors.AsType[*installation.StatusError](err); ok {
		status = refused.Status
	} else if err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	if status != want {
		return fmt.Errorf("%s: %s %s answered %d, want %d", who, method, path, status, want)
	}
	if found := search([]byte(texts(answer))); found != "" {
		return fmt.Errorf("%s: %s %s answered with the value of %s", who, method, path, found)
	}
	t.say("%-5s  %-5s %s: %d %s", who, method, strings.TrimPrefix(path, "/api/v1/organizations/"), status, strings.ToLower(http.StatusText(status)))
	return nil
}

// texts are all texts of a JSON value, each in lines of its own, as they were before they were written in JSON.
func texts(value any) string {
	switch v := value.(type) {
	case string:
		return v + "\n"
	case []any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(texts(e))
		}
		return b.String()
	case map[string]any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(texts(e))
		}
		return b.String()
	}
	return ""
}
