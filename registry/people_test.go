// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
)

func TestSignInIsConfiguredAsAWhole(t *testing.T) {
	whole := registry.SignIn{PublicURL: "https://keys.example", Issuer: "https://login.example/x", ClientID: "c", SessionLife: time.Hour, SessionIdle: time.Hour}
	for name, tc := range map[string]struct {
		change func(*registry.SignIn)
		want   string // "": it is right
	}{
		"whole":                     {func(*registry.SignIn) {}, ""},
		"none":                      {func(s *registry.SignIn) { *s = registry.SignIn{} }, ""},
		"a public URL alone":        {func(s *registry.SignIn) { s.Issuer, s.ClientID = "", "" }, ""},
		"a public URL with a path":  {func(s *registry.SignIn) { s.PublicURL += "/" }, "-public-url"},
		"a public URL without TLS":  {func(s *registry.SignIn) { s.PublicURL = "http://keys.example" }, "-public-url"},
		"no public URL":             {func(s *registry.SignIn) { s.PublicURL = "" }, "-public-url"},
		"no client id":              {func(s *registry.SignIn) { s.ClientID = "" }, "-oidc-client-id"},
		"a client id alone":         {func(s *registry.SignIn) { s.Issuer = "" }, "-oidc-issuer"},
		"an issuer without TLS":     {func(s *registry.SignIn) { s.Issuer = "http://login.example" }, "must be https"},
		"an issuer with a fragment": {func(s *registry.SignIn) { s.Issuer += "#x" }, "-oidc-issuer"},
		"sessions that never idle":  {func(s *registry.SignIn) { s.SessionIdle = 2 * time.Hour }, "-session-idle"},
		"sessions of a year":        {func(s *registry.SignIn) { s.SessionLife = 365 * 24 * time.Hour }, "-session-lifetime"},
	} {
		config := registry.Config{DataDir: "d", KeyDir: "k", NoCluster: true, SignIn: whole}
		tc.change(&config.SignIn)
		err := config.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

// The registry's own wiring: it serves before the provider answers, and the pages are on the administrators' listener only.
func TestTheRegistryServesWithoutItsOpenIDProvider(t *testing.T) {
	provider := oidctest.StartLiar(t)
	provider.Announce("https://not-yet.example")
	p := start(t, t.TempDir(), func(c *registry.Config) {
		c.SignIn = registry.SignIn{
			PublicURL: "https://keys.example", Issuer: provider.Issuer, ClientID: oidctest.ClientID, SecretFile: provider.SecretFile, CAFile: provider.CAFile,
			SessionLife: time.Hour, SessionIdle: time.Hour,
		}
	})
	address := p.serving()
	resp, err := http.Get(address + "/auth/login")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 503 || !strings.Contains(string(body), "has not reached the OpenID provider") {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	if status, text, err := p.call("GET", address+"/api/v1/me", ""); err != nil || status != 200 {
		t.Errorf("%d %s %v", status, text, err)
	}
	p.end()
}
