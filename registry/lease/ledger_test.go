// SPDX-License-Identifier: Apache-2.0

package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// records keep what a ledger writes.
type records struct {
	mu      sync.Mutex
	err     error
	granted []store.Lease
	ended   map[string]string // :: lease id → reason
}

func (r *records) GrantLease(ctx context.Context, _ store.Act, l store.Lease, _ redact.Value) (store.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || ctx.Err() != nil {
		return store.Lease{}, errors.Join(r.err, ctx.Err())
	}
	l.ID = l.Path
	r.granted = append(r.granted, l)
	return l, nil
}

func (r *records) EndLease(_ context.Context, _ store.Act, _, id, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[id] = reason
	return nil
}

func TestLeasesOfAnAnswerThatWasLostAreEnded(t *testing.T) {
	r := &records{ended: map[string]string{}}
	ledger := lease.NewLedger(r, nil)
	pod := store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api-1", UID: "uid"}
	lost, kept := ledger.Begin(store.Act{Actor: "serviceaccount:billing/api"}, pod), ledger.Begin(store.Act{}, pod)
	gone, cancel := context.WithCancel(t.Context())
	cancel() // the request may end while the provider answers: the credentials are there all the same
	for path, page := range map[string]*lease.Page{"a": lost, "b": lost, "c": kept} {
		if err := page.Keep(gone, store.Lease{OrgID: "org", Path: path}, redact.New([]byte("handle"))); err != nil {
			t.Fatal(err)
		}
	}
	lost.Lost()
	lost.Lost()
	_ = ledger.Close()
	if diff := cmp.Diff(map[string]string{"a": lease.Undelivered, "b": lease.Undelivered}, r.ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if len(r.granted) != 3 || r.granted[0].Pod != pod {
		t.Errorf("granted: %+v", r.granted)
	}
}

func TestALeaseThatIsNotRecordedIsNobodys(t *testing.T) {
	r := &records{err: errors.New("etcd is down"), ended: map[string]string{}}
	ledger := lease.NewLedger(r, nil)
	page := ledger.Begin(store.Act{}, store.LeasePod{})
	if err := page.Keep(t.Context(), store.Lease{Path: "a"}, redact.New([]byte("handle"))); !errors.Is(err, r.err) {
		t.Errorf("error = %v", err)
	}
	page.Lost()
	_ = ledger.Close()
	if len(r.ended) != 0 {
		t.Errorf("ended: %v", r.ended)
	}
}
