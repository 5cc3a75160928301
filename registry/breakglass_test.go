// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/registry"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
)

// TestBreakingTheGlass goes the whole way of somebody who was locked out: the first administrator signs in at a real provider and the bootstrap token ends, for good and
// over restarts, except while the registry runs with the flag that accepts it.
func TestBreakingTheGlass(t *testing.T) {
	// Browsers reach the registry through what ends TLS, as they do through an ingress. It outlives each registry.
	var behind atomic.Pointer[url.URL]
	ingress := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind.Load())
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(ingress.Close)
	provider := oidctest.Start(t, ingress.URL+"/auth/callback")
	alice := "user:" + provider.Issuer + "#a-1"

	dir := t.TempDir()
	serve := func(args ...string) (p *process, api string, audited func() string) {
		t.Helper()
		audit := new(logtest.Buffer)
		p = start(t, dir, func(c *registry.Config) {
			flags := flag.NewFlagSet("serve", flag.ContinueOnError)
			c.Flags(flags)
			// What start has set, Flags has replaced with the defaults of production.
			kept := append([]string{
				"-data-dir=" + dir + "/data", "-key-dir=" + dir + "/keys", "-bootstrap-token-file=" + dir + "/token", "-tls-dir=", "-drain-delay=0s",
				"-api-address=127.0.0.1:0", "-workload-address=127.0.0.1:0", "-metrics-address=127.0.0.1:0",
				"-public-url=" + ingress.URL, "-oidc-issuer=" + provider.Issuer, "-oidc-client-id=" + oidctest.ClientID, "-oidc-client-secret-file=" + provider.SecretFile, "-oidc-ca-file=" + provider.CAFile,
			}, args...)
			if err := flags.Parse(kept); err != nil {
				t.Fatal(err)
			}
			c.AuditOut = audit
		})
		api = p.serving()
		at, err := url.Parse(api)
		if err != nil {
			t.Fatal(err)
		}
		behind.Store(at)
		return p, api, audit.String
	}
	metric := func(p *process, state string) {
		t.Helper()
		p.readiness(200, "\nbootstrap token: "+state+"\n")
		if text := p.must(200, "GET", "http://"+p.metrics+"/metrics", ""); !strings.Contains(text, `lanyard_registry_bootstrap_token{state="`+state+`"} 1`) {
			t.Errorf("the metric does not say %s", state)
		}
	}

	p, api, _ := serve()
	metric(p, "accepted")
	p.must(201, "POST", api+"/api/v1/administrators", `{"principal":"`+alice+`"}`)
	metric(p, "accepted")
	signIn(t, ingress.URL)
	if answer := p.must(401, "GET", api+"/api/v1/organizations", ""); !strings.Contains(answer, "bootstrap token has ended") {
		t.Errorf("its holder is told %s", answer)
	}
	metric(p, "ended")
	p.end()

	p, api, audited := serve("-accept-ended-bootstrap-token")
	metric(p, "break-glass")
	p.must(201, "POST", api+"/api/v1/administrators", `{"principal":"user:https://new.example#1"}`)
	if answer := p.must(200, "GET", api+"/api/v1/administrators", ""); !strings.Contains(answer, `"break_glass":true`) {
		t.Errorf("the list of administrators does not say it: %s", answer)
	}
	signIn(t, ingress.URL) // does not undo it
	p.must(200, "GET", api+"/api/v1/organizations", "")
	await(t, "the audit event of it", func() bool { return strings.Contains(audited(), `"bootstrap.reopen"`) })
	p.end()
	if text := audited(); strings.Count(text, `"bootstrap.reopen"`) != 1 {
		t.Errorf("audited:\n%s", text)
	}

	p, api, audited = serve()
	p.must(401, "GET", api+"/api/v1/organizations", "")
	metric(p, "ended")
	p.end()
	if strings.Contains(audited(), "bootstrap.reopen") {
		t.Error("audited as reopened without the flag")
	}
}

// signIn has alice sign in at the provider, as soon as the registry has reached it.
func signIn(t *testing.T, public string) {
	t.Helper()
	browser := oidctest.NewBrowser()
	await(t, "the provider to be reached", func() bool {
		page, err := browser.Get(t.Context(), public+"/auth/login")
		if err != nil {
			t.Fatal(err)
		}
		return page.Status != http.StatusServiceUnavailable
	})
	page, err := browser.SignIn(t.Context(), public+"/auth/login", "alice")
	if err != nil || page.Status != http.StatusOK || page.URL.Path != "/auth/" {
		t.Fatalf("signing in ended at %v with %d: %v\n%s", page.URL, page.Status, err, page.Body)
	}
}

// await asks again and again until condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
