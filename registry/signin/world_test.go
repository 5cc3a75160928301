// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/authn/bootstrap"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/install"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/signin"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// world is the administrators' listener over TLS, with a real store, where people sign in at a provider.
type world struct {
	t        *testing.T
	url      string
	config   store.Config // what every replica's store is opened with
	store    *store.Store
	provider *oidc.Provider
	log      *logtest.Buffer
	denied   *denials
	handler  http.Handler
	derive   func(purpose string) [32]byte
	token    string // the bootstrap token, which is in the file
	file     string
}

// unchecked is a checker nobody asks.
type unchecked struct{ api.Checker }

type denials struct {
	mu     sync.Mutex
	events []audit.Event
}

func (d *denials) Record(_ context.Context, events ...audit.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, events...)
}

// reasons are those of the refusals so far, which it forgets.
func (d *denials) reasons() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var reasons []string
	for _, e := range d.events {
		if e.Actor == "anonymous" && e.Action == audit.SessionCreate && e.Outcome == audit.Denied {
			reasons = append(reasons, e.Reason)
		}
	}
	d.events = nil
	return strings.Join(reasons, " ")
}

// newWorld starts a listener, then the provider that start returns for its callback, and waits until people can sign in.
func newWorld(t *testing.T, start func(callback string) *oidctest.Provider, change ...func(*signin.Config)) *world {
	t.Helper()
	client, _ := storetest.Etcd(t)
	ring := storetest.Ring(t, storetest.Key(t))
	w := &world{t: t, config: store.Config{Client: client, Keys: ring}, derive: ring.Derive, log: new(logtest.Buffer), denied: new(denials), token: install.NewBootstrapToken(), file: filepath.Join(t.TempDir(), "token")}
	if err := os.WriteFile(w.file, []byte(w.token), 0o600); err != nil {
		t.Fatal(err)
	}
	w.store = storetest.Open(t, w.config)
	w.serve(start, change...)
	return w
}

// serve starts a replica.
func (w *world) serve(start func(callback string) *oidctest.Provider, change ...func(*signin.Config)) {
	t := w.t
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler.ServeHTTP(rw, r) }))
	w.url = "https://" + server.Listener.Addr().String()
	p := start(w.url + signin.CallbackPath)
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	var err error
	w.provider, err = oidc.New(oidc.Config{
		Issuer: p.Issuer, ClientID: oidctest.ClientID, SecretFile: p.SecretFile, CAFile: p.CAFile, RedirectURL: w.url + signin.CallbackPath, Log: log, RetryPause: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	sessions := &session.Authenticator{Sessions: w.store}
	config := signin.Config{
		Provider: w.provider, Issuer: p.Issuer, PublicURL: w.url, Store: w.store, Sessions: sessions, Derive: w.derive, Denials: w.denied, Log: log, PollInterval: time.Nanosecond,
	}
	for _, c := range change {
		c(&config)
	}
	pages, err := signin.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.handler, err = api.New(api.Config{
		Store: w.store, Authenticator: api.FirstOf(&bootstrap.Authenticator{Path: w.file}, &apitoken.Authenticator{Tokens: w.store}, sessions), Checker: unchecked{}, Explainer: &resolve.Explainer{}, Issuers: new(issuer.Issuers), Log: log, Denials: w.denied, SignIn: pages, Rate: 1e6, Burst: 1e6,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
}

// discover waits until the provider is known.
func (w *world) discover() {
	w.t.Helper()
	if err := w.provider.Run(w.t.Context()); err != nil || w.provider.Ready() != nil {
		w.t.Fatal(err, w.provider.Ready())
	}
}

// signedIn is a browser in which somebody has signed in at the real provider.
func (w *world) signedIn(user string) *oidctest.Browser {
	w.t.Helper()
	b := oidctest.NewBrowser()
	page, err := b.SignIn(w.t.Context(), w.url+signin.LoginPath, user)
	if err != nil || page.Status != http.StatusOK || page.URL.Path != signin.HomePath {
		w.t.Fatalf("signing in ended at %v with %d: %v\n%s", page.URL, page.Status, err, page.Body)
	}
	return b
}

// visit fails the test unless a page has a status and a text.
func (w *world) visit(b *oidctest.Browser, path string, status int, text string) oidctest.Page {
	w.t.Helper()
	page, err := b.Get(w.t.Context(), w.url+path)
	w.check(page, err, status, text)
	return page
}

func (w *world) check(page oidctest.Page, err error, status int, text string) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	if page.Status != status || !strings.Contains(page.Body, text) {
		w.t.Errorf("%s answered %d, want %d with %q:\n%s", page.URL.Path, page.Status, status, text, page.Body)
	}
}

// call asks the API with what a browser has.
func call[T any](w *world, b *oidctest.Browser, path string) T {
	w.t.Helper()
	var v T
	page := w.visit(b, path, http.StatusOK, "")
	if err := json.Unmarshal([]byte(page.Body), &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}
