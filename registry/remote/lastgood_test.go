// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// book tells when something was written down, and can make it older.
type book struct {
	*store.Store
	kept chan store.LastGood

	mu    sync.Mutex
	older time.Duration
}

func (b *book) KeepLastGood(ctx context.Context, g store.LastGood, v redact.Value, life time.Duration) error {
	err := b.Store.KeepLastGood(ctx, g, v, life)
	b.kept <- g
	return err
}

func (b *book) LastGood(ctx context.Context, orgID, providerID, secretID string) (store.LastGood, redact.Value, error) {
	g, v, err := b.Store.LastGood(ctx, orgID, providerID, secretID)
	b.mu.Lock()
	defer b.mu.Unlock()
	g.ReadAt = g.ReadAt.Add(-b.older)
	return g, v, err
}

// remembering is a replica whose provider may give what it gave before.
type remembering struct {
	*replica
	server   *vaulttest.Server
	book     *book
	provider store.Provider
	secrets  map[string]store.Secret // :: key of kv/db → secret
}

func newRemembering(t *testing.T) *remembering {
	t.Helper()
	r := &remembering{server: vaulttest.New(t), secrets: map[string]store.Secret{}, replica: replicas(t, 1)[0]}
	r.book = &book{Store: r.store, kept: make(chan store.LastGood, 100)}
	r.replica.book = r.book
	r.server.Put("kv/db", `{"user":"CANARY-u1","password":"CANARY-p1"}`)
	p := r.organization(t, r.server)
	var err error
	if r.provider, err = r.store.ReviseProvider(t.Context(), storetest.Act, p.OrgID, p.ID, 0, func(p *store.Provider) error {
		p.LastKnownGood = &store.LastKnownGood{MaximumAge: time.Hour}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"user", "password"} {
		if r.secrets[key], err = r.store.CreateSecret(t.Context(), storetest.Act, p.OrgID, store.NewSecret{Name: key, Remote: &store.Remote{ProviderID: p.ID, Path: "kv/db", Key: key}}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.providers.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

// start reads what a pod wants, all of it in one request.
func (r *remembering) start(t *testing.T, keys ...string) (map[string]resolve.Fetched, error) {
	t.Helper()
	f := r.providers.Begin(nil, false, nil)
	defer f.End(true)
	got := map[string]resolve.Fetched{}
	for _, key := range keys {
		v, err := f.Fetch(t.Context(), r.secrets[key])
		if err != nil {
			return nil, err
		}
		got[key] = v
	}
	return got, nil
}

func (r *remembering) seen(t *testing.T, key string) store.LastGood {
	t.Helper()
	for {
		select {
		case g := <-r.book.kept:
			if g.SecretID == r.secrets[key].ID {
				return g
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was written down")
		}
	}
}

// silence makes the server answer like one that is broken.
func (r *remembering) silence() {
	r.server.Change(func(s *vaulttest.State) {
		s.Fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
	})
}

func reason(err error) string {
	if failed, ok := errors.AsType[*resolve.FetchError](err); ok {
		return string(failed.Code) + " " + failed.Reason
	}
	return "no FetchError"
}

func TestAPodStartsWithTheLastKnownGoodValueWhileTheProviderIsSilent(t *testing.T) {
	r := newRemembering(t)
	got, err := r.start(t, "user")
	if err != nil || !got["user"].LastKnownGood.IsZero() {
		t.Fatalf("a fresh value: %+v, %v", got, err)
	}
	written := r.seen(t, "user")
	r.silence()
	for range 10 { // the circuit opens meanwhile
		got, err := r.start(t, "user")
		if err != nil || string(got["user"].Value.Reveal()) != "CANARY-u1" || !got["user"].LastKnownGood.Equal(written.ReadAt) {
			t.Fatalf("from a silent provider: %+v, %v", got, err)
		}
	}
	if _, err := r.start(t, "password"); err == nil || reason(err) != "provider_unavailable circuit_open" {
		t.Errorf("what was never read: %v", err)
	}
	fresh := r.providers.Begin(nil, true, nil)
	defer fresh.End(true)
	if _, err := fresh.Fetch(t.Context(), r.secrets["user"]); err == nil {
		t.Error("a request that wants fresh values got an old one")
	}
	r.book.mu.Lock()
	r.book.older = time.Hour
	r.book.mu.Unlock()
	if _, err := r.start(t, "user"); err == nil {
		t.Error("a value older than the provider's record allows was given")
	}
}

func TestAnAccessThatWasTakenAwayStaysTakenAway(t *testing.T) {
	for name, take := range map[string]func(*vaulttest.State){
		"denied":    func(s *vaulttest.State) { s.Denied["kv/db"] = true },
		"not found": func(s *vaulttest.State) { delete(s.Secrets, "kv/db") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemembering(t)
			if _, err := r.start(t, "user"); err != nil {
				t.Fatal(err)
			}
			r.seen(t, "user")
			r.server.Change(take)
			if _, err := r.start(t, "user"); err == nil {
				t.Fatal("a value was given that the provider refuses")
			}
			if g := r.seen(t, "user"); !g.Refused {
				t.Errorf("written down: %+v", g)
			}
			r.silence()
			if _, err := r.start(t, "user"); err == nil || reason(err) != "provider_unavailable server_error" {
				t.Errorf("after the provider fell silent: %v", err)
			}
		})
	}
}

// A user name of one version and a password of another would be worse than waiting.
func TestValuesOfOnePathAreOfOneDocument(t *testing.T) {
	r := newRemembering(t)
	if _, err := r.start(t, "user"); err != nil {
		t.Fatal(err)
	}
	r.seen(t, "user")
	if _, err := r.start(t, "password"); err != nil {
		t.Fatal(err)
	}
	r.seen(t, "password")
	r.silence()
	if got, err := r.start(t, "user", "password"); err != nil || string(got["password"].Value.Reveal()) != "CANARY-p1" {
		t.Errorf("read one after the other, of the same document: %v", err)
	}
	r.server.Change(func(s *vaulttest.State) { s.Fault = nil })
	if o := r.providers.Check(t.Context(), r.provider.OrgID, r.provider.ID); o != (resolve.Outcome{}) { // closes the circuit
		t.Fatal(o)
	}
	r.server.Put("kv/db", `{"user":"CANARY-u2","password":"CANARY-p2"}`)
	if _, err := r.start(t, "password"); err != nil {
		t.Fatal(err)
	}
	r.seen(t, "password")
	r.silence()
	if _, err := r.start(t, "user", "password"); err == nil || reason(err) != "provider_unavailable server_error" {
		t.Errorf("a user name of before and a password of now: %v", err)
	}
	if got, err := r.start(t, "password"); err != nil || string(got["password"].Value.Reveal()) != "CANARY-p2" {
		t.Errorf("the newest alone: %v", err)
	}
}

func TestNothingIsKeptUnlessTheRecordSaysSoAndOfLeasesNever(t *testing.T) {
	r := newRemembering(t)
	lease, err := r.store.CreateSecret(t.Context(), storetest.Act, r.provider.OrgID, store.NewSecret{Name: "lease", Remote: &store.Remote{ProviderID: r.provider.ID, Path: "database/creds/app", Key: "username"}})
	if err != nil {
		t.Fatal(err)
	}
	r.secrets["lease"] = lease
	if _, err := r.start(t, "lease"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.start(t, "user"); err != nil {
		t.Fatal(err)
	}
	r.seen(t, "user") // written after it
	if _, _, err := r.store.LastGood(t.Context(), lease.OrgID, r.provider.ID, lease.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of a lease there is %v", err)
	}
	off, err := r.store.ReviseProvider(t.Context(), storetest.Act, r.provider.OrgID, r.provider.ID, 0, func(p *store.Provider) error { p.LastKnownGood = nil; return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.start(t, "user"); err != nil {
		t.Fatal(err)
	}
	r.silence()
	if _, err := r.start(t, "user"); err == nil {
		t.Error("a value was given without leave")
	} else if failed, ok := errors.AsType[*resolve.FetchError](err); !ok || failed.Code != wire.CodeProviderUnavailable {
		t.Error(err)
	}
	if _, _, err := r.store.LastGood(t.Context(), off.OrgID, off.ID, r.secrets["user"].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("with it off there is %v", err)
	}
}

var _ remote.Book = (*book)(nil)
