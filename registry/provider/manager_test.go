// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// fake is a server, the records of providers that lead to it, and every provider opened for them.
type fake struct {
	mu      sync.Mutex
	record  map[string]Record
	answer  func(ctx context.Context, ref Ref) (Document, error)
	reads   atomic.Int32
	flying  atomic.Int32
	most    atomic.Int32
	opened  []*fakeProvider
	checks  atomic.Int32
	checked error // guarded by mu, as is refused
	refused error
}

type fakeProvider struct {
	server *fake
	record Record
	closed atomic.Bool
}

func (p *fakeProvider) Read(ctx context.Context, ref Ref) (Document, error) {
	if p.closed.Load() {
		panic("read after close")
	}
	p.server.reads.Add(1)
	n := p.server.flying.Add(1)
	defer p.server.flying.Add(-1)
	for most := p.server.most.Load(); n > most && !p.server.most.CompareAndSwap(most, n); most = p.server.most.Load() {
	}
	return p.server.answer(ctx, ref)
}
func (p *fakeProvider) Check(context.Context) error {
	p.server.checks.Add(1)
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return p.server.checked
}
func (p *fakeProvider) Close() error { p.closed.Store(true); return nil }

func (f *fake) Record(_ context.Context, _, providerID string) (Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.record[providerID]
	if !ok {
		return Record{}, fmt.Errorf("%q: %w", providerID, ErrNoRecord)
	}
	return r, nil
}

func (f *fake) All(context.Context) ([]Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []Key
	for id, r := range f.record {
		keys = append(keys, Key{"org", id, r.Type})
	}
	return keys, nil
}

func (f *fake) set(r Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record[r.ID] = r
}

func (f *fake) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.record, id)
}

// fail sets what checks answer.
func (f *fake) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked = err
}

// refuse sets why records cannot be opened.
func (f *fake) refuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = err
}

func (f *fake) kind() Type {
	return Type{
		Name:     "fake",
		Validate: func(Record, Host) error { return nil },
		Path:     func(path, version string) (Ref, error) { return Ref{path, version}, nil },
		Open: func(r Record, _ Host) (Provider, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.refused != nil {
				return nil, f.refused
			}
			p := &fakeProvider{server: f, record: r}
			f.opened = append(f.opened, p)
			return p, nil
		},
	}
}

func newFake(t *testing.T, answer func(context.Context, Ref) (Document, error)) (*fake, *Manager) {
	t.Helper()
	f := &fake{record: map[string]Record{}, answer: answer}
	for _, id := range []string{"p1", "p2"} {
		f.set(Record{ID: id, Name: "name of " + id, Type: "fake", Revision: 1})
	}
	m, err := NewManager(Config{Records: f, Types: []Type{f.kind()}, Host: Host{Egress: &egress.Guard{}}, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return f, m
}

func fetch(ctx context.Context, m *Manager, providerID, path string) (string, *Error) {
	v, err := m.Fetch(ctx, "org", store.Remote{ProviderID: providerID, Path: path, Key: "a"})
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			panic(err)
		}
		return "", e
	}
	return string(v.Reveal()), nil
}

func document(object string) Document {
	d, err := NewDocument([]byte(object))
	if err != nil {
		panic(err)
	}
	return d
}

func unavailable(reason Reason) error {
	return &Error{Kind: KindUnavailable, Reason: reason, Message: "no"}
}

func TestADeadProviderSlowsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := newFake(t, func(ctx context.Context, ref Ref) (Document, error) {
			if strings.HasPrefix(ref.Path, "dead") {
				<-ctx.Done()
				return Document{}, unavailable(ReasonTimeout)
			}
			return document(`{"a":"1"}`), nil
		})
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				if _, err := fetch(t.Context(), m, "p1", fmt.Sprint("dead", i)); err == nil {
					t.Error("a dead server answered")
				}
			})
		}
		synctest.Wait()
		for i := range 100 {
			began := time.Now()
			if _, err := fetch(t.Context(), m, "p2", fmt.Sprint("alive", i)); err != nil || time.Since(began) != 0 {
				t.Fatalf("the other provider took %v: %v", time.Since(began), err)
			}
		}
		all.Wait()
	})
}

func TestReadsOfOneProviderAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(context.Context, Ref) (Document, error) {
			time.Sleep(400 * time.Millisecond)
			return document(`{"a":"1"}`), nil
		})
		var all sync.WaitGroup
		var busy atomic.Int32
		for i := range 200 {
			all.Go(func() {
				if _, err := fetch(t.Context(), m, "p1", fmt.Sprint(i)); err != nil {
					if err.Kind != KindThrottled || err.Reason != ReasonBusy || err.RetryAfter < time.Second {
						t.Errorf("error = %v, retry after %v", err, err.RetryAfter)
					}
					busy.Add(1)
				}
			})
		}
		all.Wait()
		// In the second that a read may wait, three rounds of 32 begin: at 0, 0.4 and 0.8 s.
		if f.most.Load() != DefaultConcurrency || busy.Load() != 200-3*DefaultConcurrency {
			t.Errorf("at most %d at once, %d turned away", f.most.Load(), busy.Load())
		}
	})
}

func TestTheCircuitOpensProbesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healthy atomic.Bool
		f, m := newFake(t, func(context.Context, Ref) (Document, error) {
			if healthy.Load() {
				return document(`{"a":"1"}`), nil
			}
			return Document{}, unavailable(ReasonTimeout)
		})
		for range breakAfter {
			if _, err := fetch(t.Context(), m, "p1", "x"); err.Reason != ReasonTimeout {
				t.Fatal(err)
			}
		}
		_, err := fetch(t.Context(), m, "p1", "x")
		if err.Kind != KindUnavailable || err.Reason != ReasonCircuitOpen || err.RetryAfter < minCooldown || f.reads.Load() != breakAfter {
			t.Fatalf("error = %v, retry after %v, %d reads", err, err.RetryAfter, f.reads.Load())
		}
		// An hour of a fetch a second: the cool-down grows to a minute, so few of them reach the server.
		for range 3600 {
			time.Sleep(time.Second)
			_, _ = fetch(t.Context(), m, "p1", "x")
		}
		if probes := f.reads.Load() - breakAfter; probes < 30 || probes > 70 {
			t.Errorf("%d probes in an hour", probes)
		}
		healthy.Store(true)
		time.Sleep(2 * maxCooldown)
		if _, err := fetch(t.Context(), m, "p1", "x"); err != nil {
			t.Errorf("after the server recovered: %v", err)
		}
		before := f.reads.Load()
		for range 10 {
			_, _ = fetch(t.Context(), m, "p1", "x")
		}
		if f.reads.Load() != before+10 {
			t.Error("the circuit did not close")
		}
	})
}

func TestAHalfOpenCircuitLetsOneProbeThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(ctx context.Context, _ Ref) (Document, error) {
			<-ctx.Done()
			return Document{}, unavailable(ReasonTimeout)
		})
		for range breakAfter {
			_, _ = fetch(t.Context(), m, "p1", "x")
		}
		time.Sleep(2 * minCooldown)
		before := f.reads.Load()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() { _, _ = fetch(t.Context(), m, "p1", fmt.Sprint(i)) })
		}
		all.Wait()
		if got := f.reads.Load() - before; got != 1 {
			t.Errorf("%d probes at once", got)
		}
	})
}

func TestWhatIsMissingOrDeniedDoesNotOpenTheCircuit(t *testing.T) {
	_, m := newFake(t, func(_ context.Context, ref Ref) (Document, error) {
		if ref.Path == "good" {
			return document(`{"a":"1"}`), nil
		}
		return Document{}, &Error{Kind: KindDenied, Reason: ReasonPermission, Message: "no"}
	})
	for range 10 * breakAfter {
		if _, err := fetch(t.Context(), m, "p1", "bad"); err.Code() != wire.CodeProviderDenied || err.Provider != "name of p1" {
			t.Fatal(err)
		}
	}
	if _, err := fetch(t.Context(), m, "p1", "good"); err != nil {
		t.Error(err)
	}
}

func TestRetriesAreAFifthOfSuccesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		f, m := newFake(t, func(context.Context, Ref) (Document, error) {
			if n.Add(1)%2 == 0 { // every second read breaks
				return Document{}, unavailable(ReasonUnreachable)
			}
			return document(`{"a":"1"}`), nil
		})
		const fetches = 1000
		for range fetches {
			_, _ = fetch(t.Context(), m, "p1", "x")
		}
		if extra := f.reads.Load() - fetches; extra < 50 || extra > fetches/5+1 {
			t.Errorf("%d retries for %d fetches", extra, fetches)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(context.Context, Ref) (Document, error) {
			return Document{}, &Error{Kind: KindThrottled, Reason: ReasonRateLimit, Message: "slowly", RetryAfter: 10 * time.Second}
		})
		for range 100 {
			_, err := fetch(t.Context(), m, "p1", "x")
			if err.Kind != KindThrottled || err.RetryAfter <= 0 {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := f.reads.Load(); got != 10 {
			t.Errorf("the server was asked %d times in 100 s, and wished for 10 s each", got)
		}
	})
}

func TestAChangedRecordOpensANewProvider(t *testing.T) {
	base := Record{ID: "p1", Name: "n", Type: "fake", Config: []byte(`{"address":"a"}`), Credentials: redact.New([]byte("c")), Revision: 2}
	for name, change := range map[string]func(*Record){
		"config":      func(r *Record) { r.Config = []byte(`{"address":"b"}`) },
		"credentials": func(r *Record) { r.Credentials = redact.New([]byte("d")) },
		"prefixes":    func(r *Record) { r.AllowedPrefixes = []string{"kv"} },
	} {
		t.Run(name, func(t *testing.T) {
			f, m := newFake(t, func(context.Context, Ref) (Document, error) { return document(`{"a":"1"}`), nil })
			f.set(base)
			_, _ = fetch(t.Context(), m, "p1", "x")
			_, _ = fetch(t.Context(), m, "p1", "x")
			if len(f.opened) != 1 {
				t.Fatalf("%d providers were opened for one record", len(f.opened))
			}
			changed := base
			change(&changed)
			changed.Revision = 3
			f.set(changed)
			_, _ = fetch(t.Context(), m, "p1", "x")
			f.set(base) // a slow request with the record of before
			_, _ = fetch(t.Context(), m, "p1", "x")
			m.closing.Wait()
			if len(f.opened) != 2 || !f.opened[0].closed.Load() || f.opened[1].closed.Load() {
				t.Errorf("%d providers were opened; the old one is closed: %v", len(f.opened), f.opened[0].closed.Load())
			}
		})
	}
}

func TestAReplacedProviderEndsItsReadsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(context.Context, Ref) (Document, error) {
			time.Sleep(time.Second)
			return document(`{"a":"1"}`), nil
		})
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := fetch(t.Context(), m, "p1", "x"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		f.set(Record{ID: "p1", Type: "fake", Config: []byte("2"), Revision: 2})
		all.Go(func() { _, _ = fetch(t.Context(), m, "p1", "x") })
		synctest.Wait()
		if len(f.opened) != 2 || f.opened[0].closed.Load() {
			t.Error("the old provider was closed while it read")
		}
		all.Wait()
		synctest.Wait()
		if !f.opened[0].closed.Load() {
			t.Error("the old provider was never closed")
		}
	})
}

func TestProvidersOfRecordsThatChangeOrGoAreClosedThoughNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(context.Context, Ref) (Document, error) { return document(`{"a":"1"}`), nil })
		for _, id := range []string{"p1", "p2", "p3"} {
			f.set(Record{ID: id, Type: "fake", Revision: 1})
			_, _ = fetch(t.Context(), m, id, "x")
		}
		ctx, stop := context.WithCancel(t.Context())
		go m.Run(ctx)
		f.set(Record{ID: "p2", Type: "fake", Config: []byte("new"), Revision: 2})
		f.mu.Lock()
		delete(f.record, "p1")
		f.mu.Unlock()
		time.Sleep(100 * reconcileEvery)
		synctest.Wait()
		if !f.opened[0].closed.Load() || !f.opened[1].closed.Load() || f.opened[2].closed.Load() {
			t.Error("the wrong providers are open")
		}
		stop()
	})
}

func TestADeletedProviderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(context.Context, Ref) (Document, error) { return document(`{"a":"1"}`), nil })
		_, _ = fetch(t.Context(), m, "p1", "x")
		f.mu.Lock()
		delete(f.record, "p1")
		f.mu.Unlock()
		_, err := fetch(t.Context(), m, "p1", "x")
		if err.Kind != KindNotFound || err.Reason != ReasonProvider {
			t.Error(err)
		}
		synctest.Wait()
		if !f.opened[0].closed.Load() {
			t.Error("the provider is still open")
		}
	})
}

func TestOneResolveReadsAPathOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var leases atomic.Int32
		_, m := newFake(t, func(context.Context, Ref) (Document, error) {
			time.Sleep(10 * time.Millisecond)
			n := leases.Add(1)
			d := document(fmt.Sprintf(`{"username":"user-%d","password":"password-%d"}`, n, n))
			d.Leased = true
			return d, nil
		})
		var all sync.WaitGroup
		var mu sync.Mutex
		users := map[string]bool{}
		for range 30 { // resolves
			batch := m.Begin(nil)
			var got [2]string
			var both sync.WaitGroup
			for i, key := range []string{"username", "password"} {
				both.Go(func() {
					v, err := batch.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "database/creds/app", Key: key})
					if err != nil {
						t.Error(err)
					}
					got[i] = string(v.Value.Reveal())
				})
			}
			all.Go(func() {
				both.Wait()
				if strings.TrimPrefix(got[0], "user-") != strings.TrimPrefix(got[1], "password-") {
					t.Errorf("%s got %s", got[0], got[1])
				}
				mu.Lock()
				defer mu.Unlock()
				users[got[0]] = true
			})
		}
		all.Wait()
		if len(users) != 30 || leases.Load() > 31 {
			t.Errorf("30 resolves got %d users from %d leases", len(users), leases.Load())
		}
	})
}

func TestFetchIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := newFake(t, func(ctx context.Context, _ Ref) (Document, error) { <-ctx.Done(); return Document{}, ctx.Err() })
		began := time.Now()
		_, err := fetch(t.Context(), m, "p1", "x")
		if err.Kind != KindUnavailable || err.Reason != ReasonTimeout || time.Since(began) != DefaultTimeout*4/5 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, err := fetch(t.Context(), m, "p1", "x"); err.Reason != ReasonClosed {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestCheckAsksAlthoughTheCircuitIsOpenAndClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(t, func(context.Context, Ref) (Document, error) { return Document{}, unavailable(ReasonTimeout) })
		for range breakAfter {
			_, _ = fetch(t.Context(), m, "p1", "x")
		}
		f.checked = &Error{Kind: KindDenied, Reason: ReasonCredentials, Message: "no"}
		if e, ok := errors.AsType[*Error](m.Check(t.Context(), "org", "p1")); !ok || e.Reason != ReasonCredentials || e.Provider != "name of p1" {
			t.Errorf("check = %v", e)
		}
		if _, err := fetch(t.Context(), m, "p1", "x"); err.Reason != ReasonTimeout {
			t.Errorf("the circuit is still open: %v", err)
		}
	})
}

func TestEveryKindHasACodeAndAName(t *testing.T) {
	for k := KindUnavailable; k <= KindUnrepresentable; k++ {
		if info := k.Code().Info(); info.Meaning == "" || k.String() == "unknown" {
			t.Errorf("kind %d: code %q, name %q", k, k.Code(), k)
		}
	}
	if Kind(0).Code() != wire.CodeProviderUnavailable || Kind(99).String() != "unknown" {
		t.Error("unknown kinds have no safe default")
	}
}

func TestAServerTooSlowForItsCallersOpensTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := newFake(t, func(ctx context.Context, _ Ref) (Document, error) { <-ctx.Done(); return Document{}, ctx.Err() })
		for range 20 {
			_, _ = fetch(expired(t, 10*time.Millisecond), m, "p1", "x") // gone before the server could have answered: says nothing
		}
		synctest.Wait()
		for range breakAfter {
			if _, err := fetch(expired(t, 1500*time.Millisecond), m, "p1", "x"); err.Reason == ReasonCircuitOpen {
				t.Fatal("the circuit opened too early")
			}
			synctest.Wait()
		}
		if _, err := fetch(t.Context(), m, "p1", "x"); err.Reason != ReasonCircuitOpen {
			t.Errorf("error = %v", err)
		}
	})
}
