// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// watched returns a manager that checks every minute, and runs until the test ends.
func watched(t *testing.T, f *fake) (*Manager, *prometheus.Registry) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	m, err := NewManager(Config{Records: f, Types: []Type{f.kind()}, Host: Host{Egress: &egress.Guard{}}, HealthInterval: time.Minute, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; _ = m.Close() })
	return m, metrics
}

func TestProvidersAreCheckedInTheBackgroundAboutOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{record: map[string]Record{}}
		for _, id := range []string{"p1", "p2", "p3"} {
			f.set(Record{ID: id, Name: id, Type: "fake", Revision: 1})
		}
		m, metrics := watched(t, f)
		if got := m.Health("org", "p1"); got != (Health{Status: StatusUnknown}) {
			t.Errorf("before the first check: %+v", got)
		}
		time.Sleep(time.Hour)
		if n := f.checks.Load(); n < 3*45 || n > 3*90 {
			t.Errorf("%d checks of three providers in an hour of minutes", n)
		}
		if got := m.Health("org", "p1"); got.Status != StatusHealthy || got.CheckedAt != got.LastSuccessAt || time.Since(got.CheckedAt) > 3*time.Minute {
			t.Errorf("a provider that answers: %+v", got)
		}

		f.fail(&Error{Kind: KindDenied, Reason: ReasonCredentials, Message: "no"})
		last := m.Health("org", "p1").LastSuccessAt
		time.Sleep(3 * time.Minute)
		got := m.Health("org", "p1")
		if got.Status != StatusFailing || got.Code != wire.CodeProviderDenied || got.Reason != ReasonCredentials || got.LastSuccessAt.Before(last) || !got.CheckedAt.After(got.LastSuccessAt) {
			t.Errorf("a provider that refuses: %+v", got)
		}
		if n := testutil.CollectAndCount(metrics, "lanyard_registry_providers"); n != 1 {
			t.Errorf("%d statuses are counted, want that of all three alone", n)
		}

		f.remove("p1")
		time.Sleep(3 * time.Minute)
		if got := m.Health("org", "p1"); got != (Health{Status: StatusUnknown}) {
			t.Errorf("a provider that was deleted: %+v", got)
		}
	})
}

func TestAProviderThatIsReadFromOrAsksForPeaceIsNotCheckedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{record: map[string]Record{}, answer: func(context.Context, Ref) (Document, error) { return document(`{"a":"1"}`), nil }}
		f.set(Record{ID: "p1", Name: "p1", Type: "fake", Revision: 1})
		m, _ := watched(t, f)
		for range 60 * 6 {
			if _, err := fetch(t.Context(), m, "p1", "x"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := f.checks.Load(); n != 0 {
			t.Errorf("%d checks of a provider that was read from all the time", n)
		}
		if got := m.Health("org", "p1"); got.Status != StatusHealthy {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWhatAReadTellsAboutAProvider(t *testing.T) {
	for name, c := range map[string]struct {
		err  *Error
		want Status
	}{
		"an answer":                 {nil, StatusHealthy},
		"silence":                   {&Error{Kind: KindUnavailable, Reason: ReasonTimeout}, StatusFailing},
		"refused credentials":       {&Error{Kind: KindDenied, Reason: ReasonCredentials}, StatusFailing},
		"an address not allowed":    {&Error{Kind: KindInvalid, Reason: ReasonAddress}, StatusFailing},
		"a path that is not there":  {&Error{Kind: KindNotFound, Reason: ReasonPath}, StatusUnknown},
		"a path that is denied":     {&Error{Kind: KindDenied, Reason: ReasonPermission}, StatusUnknown},
		"a limit of the server's":   {&Error{Kind: KindThrottled, Reason: ReasonRateLimit}, StatusUnknown},
		"a record that was changed": {&Error{Kind: KindUnavailable, Reason: ReasonClosed}, StatusUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, m := newFake(t, func(context.Context, Ref) (Document, error) {
					if c.err != nil {
						return Document{}, c.err
					}
					return document(`{"a":"1"}`), nil
				})
				_, _ = fetch(t.Context(), m, "p1", "x")
				if got := m.Health("org", "p1"); got.Status != c.want {
					t.Errorf("got %+v, want %s", got, c.want)
				}
			})
		})
	}
}

func TestARecordThatChangedOrCannotBeOpenedHasAHealthOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f, m := newFake(t, func(_ context.Context, ref Ref) (Document, error) {
			if ref.Path == "slow" {
				<-release
			}
			return document(`{"a":"1"}`), nil
		})
		var ended atomic.Bool
		go func() { _, _ = fetch(t.Context(), m, "p1", "slow"); ended.Store(true) }()
		synctest.Wait()
		f.set(Record{ID: "p1", Name: "other name", Type: "fake", Revision: 2})
		f.fail(&Error{Kind: KindUnavailable, Reason: ReasonUnreachable, Message: "no"})
		if err := m.Check(t.Context(), "org", "p1"); err == nil {
			t.Fatal("the check succeeded")
		}
		want := m.Health("org", "p1")
		close(release)
		synctest.Wait()
		if got := m.Health("org", "p1"); !ended.Load() || want.Status != StatusFailing || got != want {
			t.Errorf("a read through the old record changed the health of the new one (-want +got):\n%s", cmp.Diff(want, got))
		}

		f.refuse(&Error{Kind: KindInvalid, Reason: ReasonConfig, Message: "config.address: not allowed any more"})
		f.set(Record{ID: "p1", Name: "third name", Type: "fake", Revision: 3})
		_, _ = fetch(t.Context(), m, "p1", "x")
		if got := m.Health("org", "p1"); got.Status != StatusFailing || got.Code != wire.CodeProviderInvalid || got.Reason != ReasonConfig || !got.LastSuccessAt.IsZero() {
			t.Errorf("a record that cannot be opened: %+v", got)
		}
	})
}
