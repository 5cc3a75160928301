// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// leasing is a provider that leases; ask is how its server takes to it.
type leasing struct {
	*fakeProvider
	ask func(context.Context) error
}

func (l leasing) Renew(ctx context.Context, handle redact.Value, life time.Duration) (Lease, error) {
	return Lease{Handle: handle, Life: life}, l.ask(ctx)
}

func (l leasing) Revoke(ctx context.Context, _ redact.Value) error { return l.ask(ctx) }

// newLeasing returns a manager of providers that lease.
func newLeasing(t *testing.T, ask func(context.Context) error) *Manager {
	t.Helper()
	f, m := newFake(t, nil)
	kind := f.kind()
	kind.Open = func(r Record, _ Host) (Provider, error) {
		return leasing{&fakeProvider{server: f, record: r}, ask}, nil
	}
	m.types[kind.Name] = kind
	return m
}

func reasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// A keeper asks about many leases at once and has few turns: those of a silent server must not wait for it one after the other.
func TestASilentServerIsNotAskedAboutOneLeaseAfterTheOther(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *Manager) error{
		"renewing": func(ctx context.Context, m *Manager) error {
			_, err := m.Renew(ctx, "org", "p1", redact.New([]byte("h")), time.Hour)
			return err
		},
		"revoking": func(ctx context.Context, m *Manager) error {
			return m.Revoke(ctx, "org", "p1", redact.New([]byte("h")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newLeasing(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				for range breakAfter {
					if err := ask(t.Context(), m); reasonOf(err) != ReasonTimeout {
						t.Fatalf("error = %v", err)
					}
				}
				if err := ask(t.Context(), m); reasonOf(err) != ReasonCircuitOpen {
					t.Errorf("after %d of them: %v", breakAfter, err)
				}
			})
		})
	}
}

func TestACallerThatLeavesSaysNothingOfTheServerOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newLeasing(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		for range 2 * breakAfter {
			ctx, cancel := context.WithTimeout(t.Context(), soon/2)
			if err := m.Revoke(ctx, "org", "p1", redact.New([]byte("h"))); reasonOf(err) != ReasonTimeout {
				t.Fatalf("error = %v", err)
			}
			cancel()
		}
	})
}

// An organization is deleted while a pod of it is answered: the lease cannot be recorded any more, and the provider's record is gone when it is given back.
func TestALeaseIsGivenBackThoughItsProviderWasDeletedMeanwhile(t *testing.T) {
	var revoked, closed atomic.Int32
	f, m := newFake(t, func(context.Context, Ref) (Document, error) {
		d := document(`{"a":"made"}`)
		d.Leased, d.Lease = true, &Lease{Handle: redact.New([]byte("h")), Life: time.Hour}
		return d, nil
	})
	kind := f.kind()
	kind.Open = func(r Record, _ Host) (Provider, error) {
		p := &fakeProvider{server: f, record: r}
		return leasing{p, func(context.Context) error {
			if p.closed.Load() {
				closed.Add(1)
			}
			revoked.Add(1)
			return nil
		}}, nil
	}
	m.types[kind.Name] = kind
	b := m.Begin(func(context.Context, Granted) error {
		f.remove("p1")
		m.reconcile(t.Context())
		return errors.New("the organization is gone")
	})
	if _, err := b.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "x", Key: "a"}); reasonOf(err) != ReasonLease {
		t.Fatalf("error = %v", err)
	}
	b.End()
	_ = m.Close() // waits for it
	if revoked.Load() != 1 || closed.Load() != 0 {
		t.Errorf("revoked %d times, of which %d when the provider was closed", revoked.Load(), closed.Load())
	}
}

func TestAPanicFailsEveryFetchOfItsPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := newFake(t, func(context.Context, Ref) (Document, error) {
			time.Sleep(time.Second) // so that the other waits for it
			d := document(`{"a":"made"}`)
			d.Leased, d.Lease = true, &Lease{Handle: redact.New([]byte("h")), Life: time.Hour}
			return d, nil
		})
		b := m.Begin(func(context.Context, Granted) error { panic("the ledger") })
		remote := store.Remote{ProviderID: "p1", Path: "x", Key: "a"}
		first := make(chan any, 1)
		go func() {
			defer func() { first <- recover() }()
			_, _ = b.Fetch(t.Context(), "org", remote)
		}()
		synctest.Wait()
		began := time.Now()
		_, err := b.Fetch(t.Context(), "org", remote)
		if reasonOf(err) != ReasonServer || time.Since(began) > 2*time.Second {
			t.Errorf("the other fetch: %v after %v", err, time.Since(began))
		}
		if <-first == nil {
			t.Error("the panic was swallowed")
		}
	})
}
