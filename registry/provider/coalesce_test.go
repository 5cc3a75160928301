// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// reads is a server whose reads take a second and return the value as it was when the read began.
type reads struct {
	value   atomic.Int64
	started []time.Duration // since the epoch of the test
	epoch   time.Time
	flying  atomic.Int32
	leased  bool
	mu      sync.Mutex
}

func (r *reads) read(ctx context.Context) (Document, error) {
	if r.flying.Add(1) > 1 && !r.leased {
		panic("two reads of one key at a time")
	}
	defer r.flying.Add(-1)
	r.mu.Lock()
	r.started = append(r.started, time.Since(r.epoch))
	n := len(r.started)
	r.mu.Unlock()
	seen := r.value.Load()
	if r.leased {
		seen = int64(n)
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return Document{}, ctx.Err()
	}
	doc, err := NewDocument(fmt.Appendf(nil, `{"v":%d}`, seen))
	doc.Leased = r.leased
	return doc, err
}

func (r *reads) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.started)
}

func value(t *testing.T, d Document) string {
	t.Helper()
	v, err := d.Value("v")
	if err != nil {
		t.Error(err)
	}
	return string(v.Reveal())
}

func TestARequestJoinsOnlyAReadThatBeginsAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reads{epoch: time.Now()}
		var c coalescer
		var all sync.WaitGroup
		at := func(when time.Duration, want string, wantDone time.Duration) {
			all.Go(func() {
				time.Sleep(when)
				doc, _, err := c.do(t.Context(), Ref{Path: "p"}, r.read)
				if err != nil {
					t.Error(err)
					return
				}
				if got := value(t, doc); got != want {
					t.Errorf("request at %v got value %s, want %s", when, got, want)
				}
				if done := time.Since(r.epoch); done != wantDone {
					t.Errorf("request at %v was answered at %v, want %v", when, done, wantDone)
				}
			})
		}
		// The value becomes 1 at 500 ms, while the first read is on the way.
		all.Go(func() { time.Sleep(500 * time.Millisecond); r.value.Store(1) })
		at(0, "0", time.Second)
		at(400*time.Millisecond, "1", 2*time.Second) // waits for the next read: it might as well have come after the change
		at(600*time.Millisecond, "1", 2*time.Second)
		at(999*time.Millisecond, "1", 2*time.Second)
		at(1500*time.Millisecond, "1", 3*time.Second) // the second read began at 1 s, before it
		at(9*time.Second, "1", 10*time.Second)        // a quiet key is read at once
		all.Wait()
		synctest.Wait()
		if got, want := fmt.Sprint(r.started), "[0s 1s 2s 9s]"; got != want {
			t.Errorf("reads began at %s, want %s", got, want)
		}
		if len(c.keys) != 0 {
			t.Errorf("%d keys are left behind", len(c.keys))
		}
	})
}

func TestAThousandRequestsAtOnceCostTwoReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reads{epoch: time.Now()}
		var c coalescer
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if _, _, err := c.do(t.Context(), Ref{Path: "p"}, r.read); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if r.count() != 2 {
			t.Errorf("%d reads, want 2: the one that began with the first request, and one for the 999 that came while it was on the way", r.count())
		}
		t.Logf("1,000 starts at once on one path: %d reads", r.count())
	})
}

func TestOtherKeysDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c coalescer
		began := time.Now()
		var all sync.WaitGroup
		for i := range 10 {
			r := &reads{epoch: began}
			all.Go(func() { _, _, _ = c.do(t.Context(), Ref{Path: "p", Version: fmt.Sprint(i)}, r.read) })
		}
		all.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("ten keys took %v", took)
		}
	})
}

func TestAReadGoesOnForThoseWhoStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reads{epoch: time.Now()}
		var c coalescer
		_, _, _ = c.do(expired(t, 0), Ref{}, r.read) // left at once: its read is cancelled
		synctest.Wait()
		var all sync.WaitGroup
		all.Go(func() { _, _, _ = c.do(t.Context(), Ref{}, r.read) })
		synctest.Wait()
		for i := range 3 { // a waiting group whose first two members leave
			ctx := t.Context()
			if i < 2 {
				ctx = expired(t, 100*time.Millisecond)
			}
			all.Go(func() {
				_, _, err := c.do(ctx, Ref{}, r.read)
				if left := errors.Is(err, context.DeadlineExceeded); left != (i < 2) {
					t.Errorf("member %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if r.count() != 3 {
			t.Errorf("%d reads, want 3", r.count())
		}
	})
}

func TestAReadNobodyWantsIsCancelledAndItsGroupForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reads{epoch: time.Now()}
		var c coalescer
		var all sync.WaitGroup
		all.Go(func() { _, _, _ = c.do(expired(t, 300*time.Millisecond), Ref{}, r.read) })
		synctest.Wait()
		for range 5 {
			all.Go(func() { _, _, _ = c.do(expired(t, 200*time.Millisecond), Ref{}, r.read) })
		}
		all.Wait()
		synctest.Wait()
		if took := time.Since(r.epoch); took != 300*time.Millisecond || r.flying.Load() != 0 || len(c.keys) != 0 {
			t.Errorf("after %v %d reads are on the way and %d keys known", took, r.flying.Load(), len(c.keys))
		}
		if r.count() != 1 {
			t.Errorf("%d reads began, want 1: the waiting group had gone", r.count())
		}
	})
}

func TestALeaseGoesToOneRequestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reads{epoch: time.Now(), leased: true}
		var c coalescer
		var mu sync.Mutex
		seen := map[string]int{}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				doc, _, err := c.do(t.Context(), Ref{}, r.read)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[value(t, doc)]++
			})
		}
		all.Wait()
		if len(seen) != 20 {
			t.Errorf("20 requests got %d leases", len(seen))
		}
	})
}

func TestAPanicOfAProviderIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c coalescer
		_, _, err := c.do(t.Context(), Ref{}, func(context.Context) (Document, error) { panic("a value") })
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindUnavailable || e.Err != nil {
			t.Errorf("error = %v", err)
		}
	})
}

func expired(t *testing.T, after time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), after)
	t.Cleanup(cancel)
	return ctx
}
