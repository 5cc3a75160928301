// SPDX-License-Identifier: Apache-2.0

package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// fake is the book, the provider and the cluster of a keeper. Every replica that leads works with the same one.
type fake struct {
	mu       sync.Mutex
	revision int64
	leases   map[string]store.Lease
	watchers map[int]chan store.LeaseChange
	watches  int
	leading  chan struct{} // holds one token

	renewed, revoked map[string]int
	renewal          func(life time.Duration) (time.Duration, bool, error)
	revocation       func() error
	gone             func(store.LeasePod) (bool, error)
	looked           int
	endErr           error
}

func newFake() *fake {
	return &fake{
		leases: map[string]store.Lease{}, watchers: map[int]chan store.LeaseChange{}, leading: make(chan struct{}, 1), renewed: map[string]int{}, revoked: map[string]int{},
		renewal:    func(life time.Duration) (time.Duration, bool, error) { return life, true, nil },
		revocation: func() error { return nil },
		gone:       func(store.LeasePod) (bool, error) { return false, nil },
	}
}

// grant adds a lease of an hour, as a replica that answers a pod does.
func (f *fake) grant(id, uid string, renewable bool) {
	now := time.Now()
	f.put(store.Lease{
		ID: id, OrgID: "org", ProviderID: "p1", Provider: "vault", Path: "database/creds/app", Pod: store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: uid},
		State: store.LeaseActive, GrantedAt: now, RenewedAt: now, ExpiresAt: now.Add(time.Hour), Life: time.Hour, Renewable: renewable,
	})
}

func (f *fake) put(l store.Lease) store.Lease {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.putLocked(l)
}

func (f *fake) putLocked(l store.Lease) store.Lease {
	f.revision++
	l.Revision = f.revision
	if l.Created = f.revision; f.leases[l.ID].Created != 0 {
		l.Created = f.leases[l.ID].Created
	}
	f.leases[l.ID] = l
	f.tellLocked(store.LeaseChange{Lease: l})
	return l
}

func (f *fake) tellLocked(c store.LeaseChange) {
	for _, w := range f.watchers {
		w <- c
	}
}

func (f *fake) GrantLease(context.Context, store.Act, store.Lease, redact.Value) (store.Lease, error) {
	panic("a keeper grants nothing")
}

func (f *fake) EndLease(_ context.Context, _ store.Act, _, id, reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.endErr != nil {
		return f.endErr
	}
	if l, ok := f.leases[id]; ok && l.State == store.LeaseActive {
		l.State, l.Reason = store.LeaseEnding, reason
		f.putLocked(l)
	}
	return nil
}

func (f *fake) AbandonLease(_ context.Context, _ store.Act, _, id, reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l, ok := f.leases[id]; ok && l.State != store.LeaseAbandoned {
		l.State, l.Reason = store.LeaseAbandoned, reason
		f.putLocked(l)
	}
	return nil
}

func (f *fake) Lead(ctx context.Context, _ string, work func(context.Context)) error {
	for {
		select {
		case f.leading <- struct{}{}:
			work(ctx)
			<-f.leading
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *fake) FollowLeases(ctx context.Context, yield func(store.LeaseChange)) error {
	changes := make(chan store.LeaseChange, 1000)
	f.mu.Lock()
	f.watches++
	n := f.watches
	f.watchers[n] = changes
	for _, l := range f.leases {
		yield(store.LeaseChange{Lease: l})
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, n)
	}()
	yield(store.LeaseChange{})
	for {
		select {
		case c := <-changes:
			yield(c)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fake) OpenLease(l store.Lease) (redact.Value, error) {
	return redact.New([]byte("handle of " + l.ID)), nil
}

func (f *fake) swap(l store.Lease) error {
	if have, ok := f.leases[l.ID]; !ok || have.Revision != l.Revision {
		return fmt.Errorf("writing lease: %w", store.ErrConflict)
	}
	return nil
}

func (f *fake) RenewedLease(_ context.Context, l store.Lease) (store.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.swap(l); err != nil {
		return store.Lease{}, err
	}
	return f.putLocked(l), nil
}

func (f *fake) RemoveLease(_ context.Context, l store.Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.swap(l); err != nil {
		return err
	}
	delete(f.leases, l.ID)
	f.tellLocked(store.LeaseChange{Lease: store.Lease{OrgID: l.OrgID, ID: l.ID}, Gone: true})
	return nil
}

func (f *fake) Renew(_ context.Context, _, _ string, handle redact.Value, life time.Duration) (time.Duration, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewed[string(handle.Reveal())]++
	return f.renewal(life)
}

func (f *fake) Revoke(_ context.Context, _, _ string, handle redact.Value) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked[string(handle.Reveal())]++
	return f.revocation()
}

func (f *fake) Gone(_ context.Context, p store.LeasePod) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked++
	return f.gone(p)
}

// keep runs a replica until the function it returns is called, or the test ends.
func (f *fake) keep(t *testing.T) (stop func()) {
	t.Helper()
	k, err := lease.NewKeeper(lease.Config{Book: f, Providers: f, Pods: f, Cluster: "main", Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = k.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return stop
}

// set changes what the fake does.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// have returns the lease of an id, and how often it was renewed and revoked.
func (f *fake) have(id string) (l store.Lease, ok bool, renewed, revoked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok = f.leases[id]
	return l, ok, f.renewed["handle of "+id], f.revoked["handle of "+id]
}

func TestALeaseIsRenewedAsLongAsItsPodLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.keep(t)
		f.grant("one", "uid", true)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			if l, ok, _, _ := f.have("one"); !ok || time.Until(l.ExpiresAt) < 29*time.Minute {
				t.Fatalf("it is there: %v, and has %v left", ok, time.Until(l.ExpiresAt))
			}
		}
		if _, _, renewed, revoked := f.have("one"); renewed < 45 || renewed > 49 || revoked != 0 {
			t.Errorf("renewed %d times in a day of half hours, revoked %d times", renewed, revoked)
		}
	})
}

func TestALeaseIsRevokedOnceWhenItsPodWasTwiceNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.keep(t)
		f.keep(t) // another replica
		f.grant("one", "gone", true)
		f.grant("two", "gone", true)
		f.grant("other", "here", true)
		f.set(func() { f.gone = func(p store.LeasePod) (bool, error) { return p.UID == "gone", nil } })
		time.Sleep(10 * time.Second)
		if _, ok, _, _ := f.have("one"); !ok {
			t.Error("it was revoked when the pod was missing for the first time")
		}
		time.Sleep(2 * time.Minute)
		for id, want := range map[string]int{"one": 1, "two": 1, "other": 0} {
			if _, ok, _, revoked := f.have(id); ok != (want == 0) || revoked != want {
				t.Errorf("%s: recorded %v, revoked %d times, want %d", id, ok, revoked, want)
			}
		}
	})
}

func TestDoubtRevokesNothing(t *testing.T) {
	for name, gone := range map[string]func(n int) (bool, error){
		"the API server cannot be reached":   func(int) (bool, error) { return false, errors.New("no route") },
		"it says gone, and then nothing":     func(n int) (bool, error) { return n == 1, map[bool]error{false: errors.New("down")}[n == 1] },
		"it says gone, and then here, often": func(n int) (bool, error) { return n%2 == 1, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.set(func() { f.gone = func(store.LeasePod) (bool, error) { return gone(f.looked) } })
				f.keep(t)
				f.grant("one", "uid", true)
				time.Sleep(3 * time.Hour)
				if l, ok, renewed, revoked := f.have("one"); !ok || l.State != store.LeaseActive || revoked != 0 || renewed < 5 {
					t.Errorf("recorded %v as %s, revoked %d times, renewed %d times", ok, l.State, revoked, renewed)
				}
			})
		})
	}
}

func TestAPodOfAnotherClusterIsNotLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.set(func() { f.gone = func(store.LeasePod) (bool, error) { return true, nil } })
		f.keep(t)
		f.grant("one", "uid", true)
		l, _, _, _ := f.have("one")
		l.Pod.Cluster, l.Pod.UID, l.ID = "edge", "uid of edge", "two"
		f.put(l)
		time.Sleep(10 * time.Minute)
		if _, ok, _, _ := f.have("two"); !ok {
			t.Error("the lease of another cluster's pod was revoked")
		}
	})
}

func TestRevokingIsTriedUntilItSucceedsOrTheLeaseHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.set(func() { f.revocation = func() error { return errors.New("sealed") } })
		f.keep(t)
		f.grant("one", "uid", true)
		if err := f.EndLease(t.Context(), store.Act{}, "org", "one", lease.Undelivered); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		l, ok, renewed, revoked := f.have("one")
		if !ok || l.State != store.LeaseEnding || renewed != 0 || revoked < 5 || revoked > 15 {
			t.Errorf("recorded %v as %s, renewed %d times, revoked %d times in twenty minutes", ok, l.State, renewed, revoked)
		}
		f.set(func() { f.revocation = func() error { return nil } })
		time.Sleep(8 * time.Minute)
		if _, ok, _, again := f.have("one"); ok || again != revoked+1 {
			t.Errorf("after the provider came back: recorded %v, revoked %d times more", ok, again-revoked)
		}

		f.set(func() { f.revocation = func() error { return errors.New("denied") } })
		f.grant("two", "uid", false)
		_ = f.EndLease(t.Context(), store.Act{}, "org", "two", lease.Undelivered)
		time.Sleep(time.Hour + 2*time.Minute)
		if _, ok, _, _ := f.have("two"); ok {
			t.Error("a lease that has ended is still recorded")
		}
	})
}

func TestALeaseWhoseProviderChangedIsAbandonedOnceAndListedUntilItsEnd(t *testing.T) {
	stranded := fmt.Errorf("%w: no such provider", lease.ErrStranded)
	for name, arrange := range map[string]func(*fake){
		"on renewing": func(f *fake) {
			f.renewal = func(time.Duration) (time.Duration, bool, error) { return 0, false, stranded }
		},
		"on revoking": func(f *fake) {
			f.revocation = func() error { return stranded }
			f.gone = func(store.LeasePod) (bool, error) { return true, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.set(func() { arrange(f) })
				f.keep(t)
				f.grant("one", "uid", true)
				time.Sleep(59 * time.Minute)
				l, ok, renewed, revoked := f.have("one")
				if !ok || l.State != store.LeaseAbandoned || l.Reason != lease.ProviderChanged || renewed+revoked != 1 {
					t.Errorf("before its end: recorded %v as %s, asked %d times", ok, l.State, renewed+revoked)
				}
				time.Sleep(3 * time.Minute)
				if _, ok, _, _ := f.have("one"); ok {
					t.Error("it is listed after its end")
				}
			})
		})
	}
}

func TestWhatIsNotRenewedForeverEnds(t *testing.T) {
	for name, c := range map[string]struct {
		renewal func(life time.Duration) (time.Duration, bool, error)
		end     time.Duration // when it is forgotten, about
		renewed int           // at least
	}{
		"renewed for less and less": {func(time.Duration) (time.Duration, bool, error) { return 31 * time.Minute, true, nil }, time.Hour, 1},
		"not renewable any more":    {func(life time.Duration) (time.Duration, bool, error) { return life, false, nil }, 90 * time.Minute, 1},
		"not known any more": {func(time.Duration) (time.Duration, bool, error) {
			return 0, false, fmt.Errorf("%w: unknown", lease.ErrFinal)
		}, time.Hour, 1},
		"the provider is down": {func(time.Duration) (time.Duration, bool, error) { return 0, false, errors.New("down") }, time.Hour, 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.set(func() { f.renewal = c.renewal })
				f.keep(t)
				f.grant("one", "uid", true)
				time.Sleep(c.end - time.Minute)
				_, ok, renewed, _ := f.have("one")
				if !ok || renewed < c.renewed || c.renewed == 1 && renewed != 1 {
					t.Errorf("just before its end: recorded %v, renewed %d times", ok, renewed)
				}
				time.Sleep(4 * time.Minute)
				if _, ok, _, revoked := f.have("one"); ok || revoked != 0 {
					t.Errorf("after its end: recorded %v, revoked %d times", ok, revoked)
				}
			})
		})
	}
}

func TestAnotherReplicaTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		stop := f.keep(t)
		f.keep(t)
		f.grant("one", "uid", true)
		time.Sleep(35 * time.Minute)
		stop()
		time.Sleep(35 * time.Minute)
		if l, ok, renewed, _ := f.have("one"); !ok || renewed < 2 || time.Until(l.ExpiresAt) < 29*time.Minute {
			t.Errorf("recorded %v, renewed %d times, %v left", ok, renewed, time.Until(l.ExpiresAt))
		}
	})
}
