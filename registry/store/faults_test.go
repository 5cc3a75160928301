// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// faulty is a client of an etcd whose watches lose events and whose transactions lose their answers, when told to.
type faulty struct {
	client *clientv3.Client
	keys   store.Keys
	clientv3.Watcher
	clientv3.KV

	lose    atomic.Pointer[func(*clientv3.Event) bool] // events that watches lose; a response that lost one is swallowed if nothing is left
	lost    atomic.Int64                               // how many they lost
	silent  atomic.Bool                                // watches opened from now on until it is false say nothing, ever
	answers atomic.Pointer[func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error)]
	down    atomic.Bool
}

var errLost = errors.New("answer lost")

func newFaulty(t testing.TB) *faulty {
	client, _ := storetest.Etcd(t)
	return faultyOf(t, client)
}

func faultyOf(t testing.TB, client *clientv3.Client) *faulty {
	f := &faulty{keys: storetest.Ring(t, storetest.Key(t)), Watcher: client.Watcher, KV: client.KV}
	f.client = clientv3.NewCtxClient(t.Context())
	f.client.Watcher, f.client.KV, f.client.Lease = f, f, client.Lease
	return f
}

func (f *faulty) Close() error { return nil }

func (f *faulty) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	out := make(chan clientv3.WatchResponse)
	silent := f.silent.Load()
	go func() {
		defer close(out)
		for resp := range f.Watcher.Watch(ctx, key, opts...) {
			if silent {
				continue
			}
			if lose := f.lose.Load(); lose != nil && len(resp.Events) > 0 {
				var kept []*clientv3.Event
				for _, e := range resp.Events {
					if (*lose)(e) {
						f.lost.Add(1)
					} else {
						kept = append(kept, e)
					}
				}
				if resp.Events = kept; len(kept) == 0 {
					continue
				}
			}
			select {
			case out <- resp:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (f *faulty) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if f.down.Load() {
		return nil, errLost
	}
	return f.KV.Get(ctx, key, opts...)
}

func (f *faulty) Txn(ctx context.Context) clientv3.Txn { return &faultyTxn{f.KV.Txn(ctx), f} }

type faultyTxn struct {
	clientv3.Txn
	f *faulty
}

func (t *faultyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *faultyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *faultyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }
func (t *faultyTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.f.down.Load() {
		return nil, errLost
	}
	if answers := t.f.answers.Load(); answers != nil {
		return (*answers)(t.Txn.Commit)
	}
	return t.Txn.Commit()
}

func (f *faulty) open(t testing.TB, config store.Config) *store.Store {
	config.Client, config.Keys = f.client, f.keys
	return storetest.Open(t, config)
}

func everything(*clientv3.Event) bool { return true }

func TestALostWatchIsReplacedBeforeAnythingStaleIsRead(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	s := f.open(t, store.Config{})
	o := organization(t, s, "acme")
	if _, err := s.View(t.Context()); err != nil { // the watch is open
		t.Fatal(err)
	}
	lose := everything
	f.lose.Store(&lose)
	secret := local(t, s, o.ID, "db", "v")
	eventually(t, func() bool { return f.lost.Load() > 0 })
	f.lose.Store(nil) // the new watch will be sound
	if _, err := s.Secret(t.Context(), o.ID, secret.ID); err != nil {
		t.Errorf("reading after a lost write: %v", err)
	}
	if s.Stats().WatchRestarts == 0 {
		t.Error("the watch was not replaced")
	}
}

func TestAReadFailsRatherThanReturnWhatWasReplaced(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	s := f.open(t, store.Config{})
	o := organization(t, s, "acme")
	if _, err := s.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	lose := everything
	f.lose.Store(&lose)
	f.silent.Store(true)
	local(t, s, o.ID, "db", "v")
	if _, err := s.Secret(t.Context(), o.ID, "db"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("reading behind a dead watch: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Secret(ctx, o.ID, "db"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reading with a short deadline: %v", err)
	}
	f.lose.Store(nil)
	f.silent.Store(false)
	eventually(t, func() bool { _, err := s.Secret(t.Context(), o.ID, "db"); return err == nil })
}

func TestAWatchThatFellBehindTheCompactionReadsEverythingAgain(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	s := f.open(t, store.Config{})
	o := organization(t, s, "acme")
	gone := local(t, s, o.ID, "gone", "v")
	if _, err := s.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	lose := everything
	f.lose.Store(&lose)
	other := f.sound(t)
	if err := other.DeleteSecret(t.Context(), act, o.ID, gone.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	last := local(t, other, o.ID, "db", "v")
	if _, err := f.KV.Compact(t.Context(), last.Revision); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return f.lost.Load() == 6 }) // two keys of the deletion, four of the creation
	f.lose.Store(nil)
	reloads := s.Stats().Reloads
	if _, err := s.Secret(t.Context(), o.ID, "db"); err != nil {
		t.Errorf("reading: %v", err)
	}
	if got, err := s.Secret(t.Context(), o.ID, "gone"); err != nil || got.DeletedAt == nil {
		t.Errorf("the deletion was lost: %+v, %v", got, err)
	}
	if s.Stats().Reloads == reloads {
		t.Error("nothing was reloaded")
	}
}

// sound opens another store on the same etcd and keys, without the faults.
func (f *faulty) sound(t testing.TB) *store.Store {
	sound := clientv3.NewCtxClient(t.Context())
	sound.KV, sound.Watcher = f.KV, f.Watcher
	return storetest.Open(t, store.Config{Client: sound, Keys: f.keys})
}

func TestReconciliationRepairsWhatAWatchLost(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	s := f.open(t, store.Config{ReconcileEvery: 50 * time.Millisecond})
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "db", "old")
	if _, err := s.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	lose := func(e *clientv3.Event) bool { return !strings.HasSuffix(string(e.Kv.Key), "/tip") } // the read barrier sees nothing wrong
	f.lose.Store(&lose)
	if _, _, err := s.PutVersion(t.Context(), act, o.ID, secret.ID, 0, *secretValue("new"), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		got, err := s.Secret(t.Context(), o.ID, "db")
		return err == nil && got.ActiveVersion == 2
	})
	if s.Stats().Reconciled == 0 {
		t.Error("the repair was not counted")
	}
}

func TestAWriteWhoseAnswerIsLostIsFoundOut(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	s := f.open(t, store.Config{})
	o := organization(t, s, "acme")
	var calls atomic.Int64
	lost := func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
		resp, err := commit()
		if calls.Add(1) == 2 { // the first one reads
			return nil, errLost
		}
		return resp, err
	}
	f.answers.Store(&lost)
	secret, err := s.CreateSecret(t.Context(), act, o.ID, store.NewSecret{Name: "db", Value: secretValue("v")})
	if err != nil {
		t.Fatalf("the write happened, and yet: %v", err)
	}
	f.answers.Store(nil)
	if got, err := s.Secret(t.Context(), o.ID, "db"); err != nil || got.Revision != secret.Revision {
		t.Errorf("got %+v, %v", got, err)
	}
	calls.Store(0)
	never := func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
		if calls.Add(1) == 2 {
			return nil, errLost
		}
		return commit()
	}
	f.answers.Store(&never)
	if _, err := s.CreateSecret(t.Context(), act, o.ID, store.NewSecret{Name: "mail"}); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, errLost) {
		t.Errorf("a write of unknown outcome: %v", err)
	}
}

func TestNothingIsServedWhileEtcdIsDownAndEverythingAfter(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	s := f.open(t, store.Config{})
	o := organization(t, s, "acme")
	local(t, s, o.ID, "db", "v")
	f.down.Store(true)
	for name, call := range map[string]func() error{
		"View":         func() error { _, err := s.View(t.Context()); return err },
		"Secrets":      func() error { _, err := s.Secrets(t.Context(), o.ID, store.Query{}); return err },
		"CreateSecret": func() error { _, err := s.CreateSecret(t.Context(), act, o.ID, store.NewSecret{Name: "x"}); return err },
		"AppendAudit":  func() error { return s.AppendAudit(t.Context(), []audit.Event{{OrgID: o.ID}}) },
		"AuditEvents":  func() error { _, err := s.AuditEvents(t.Context(), o.ID, store.AuditQuery{}); return err },
	} {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.down.Store(false)
	if _, err := s.Secret(t.Context(), o.ID, "db"); err != nil {
		t.Error(err)
	}
	if err := s.AppendAudit(t.Context(), []audit.Event{{OrgID: o.ID}}); err != nil {
		t.Error(err)
	}
}

// eventually polls until ok, at most ten seconds: etcd is another process' worth of goroutines.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen in ten seconds")
		}
	}
}

func TestAnIdleWatchIsNotTakenForADeadOne(t *testing.T) {
	t.Parallel()
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
	organization(t, storetest.Open(t, config), "acme")
	s := storetest.Open(t, config) // has everything when its watch begins
	eventually(t, func() bool { return s.Ready() == nil })
	before := s.Contact()
	eventually(t, func() bool { return s.Contact() != before }) // progress, though nothing changes
	if n := s.Stats().WatchRestarts; n != 0 {
		t.Errorf("%d restarts", n)
	}
}

func TestMemoryAheadOfARestoredEtcdIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]store.Config{
		"by the next reader":    {},
		"by the reconciliation": {ReconcileEvery: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			s := f.open(t, config)
			o := organization(t, s, "acme")
			if _, err := s.Organization(t.Context(), "acme"); err != nil { // memory holds it
				t.Fatal(err)
			}
			reloads := s.Stats().Reloads
			s.RunAhead()
			if config.ReconcileEvery == 0 {
				if _, err := s.View(t.Context()); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("memory that etcd took back was read: %v", err)
				}
			}
			eventually(t, func() bool { return s.Stats().Reloads > reloads })
			eventually(t, func() bool { _, err := s.View(t.Context()); return err == nil })
			local(t, s, o.ID, "db", "v")
			if _, err := s.Secret(t.Context(), o.ID, "db"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStoreThatStoppedLeavesNothingRunning(t *testing.T) { // not parallel: it counts goroutines
	client, _ := storetest.Etcd(t)
	before := goleak.IgnoreCurrent()
	t.Run("", func(t *testing.T) {
		s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
		o := organization(t, s, "acme")
		for range s.WatchNames(t.Context(), "main") {
			break
		}
		if err := s.AppendAudit(t.Context(), []audit.Event{{OrgID: o.ID}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.View(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	goleak.VerifyNone(t, before)
}
