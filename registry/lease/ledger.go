// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Records is where leases are written down, as in [store.Store].
type Records interface {
	GrantLease(ctx context.Context, act store.Act, l store.Lease, handle redact.Value) (store.Lease, error)
	// EndLease decides that a lease is revoked. It changes nothing if that was decided before, or if the lease is gone.
	EndLease(ctx context.Context, act store.Act, orgID, id, reason string) error
}

// The reasons for which a lease ends, as audit events and metrics have them.
const (
	PodGone     = "pod_gone"
	Undelivered = "undelivered"
	// Superseded is why a lease ends whose containers have started anew and been given another.
	Superseded = "superseded"
	// ProviderChanged is why a lease is abandoned: its provider is deleted or points to another server.
	ProviderChanged = "provider_changed"
)

// recordTimeout bounds what goes on when the request that caused it has ended.
const recordTimeout = 5 * time.Second

// Ledger writes leases down. It is safe for concurrent use.
type Ledger struct {
	records Records
	log     *slog.Logger
	ending  sync.WaitGroup
}

// NewLedger returns a ledger. The caller closes it after the last request. A nil log discards.
func NewLedger(records Records, log *slog.Logger) *Ledger {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Ledger{records: records, log: log}
}

// Close waits for what was begun, for a few seconds at most.
func (l *Ledger) Close() error {
	l.ending.Wait()
	return nil
}

// Begin returns the page of one request of a pod.
func (l *Ledger) Begin(act store.Act, pod store.LeasePod) *Page {
	return &Page{ledger: l, act: act, pod: pod}
}

// For says whose values the page is for, and returns it. containers are those of the pod that may use them. since, if it is not 0, says that these hold nothing of an answer given before that revision
// of the records.
func (p *Page) For(containers []string, since int64) *Page {
	p.containers, p.since = containers, since
	return p
}

// Page is the leases of one request. It is safe for concurrent use.
type Page struct {
	ledger *Ledger
	act    store.Act
	pod    store.LeasePod

	containers []string
	since      int64

	mu      sync.Mutex
	granted []store.Lease
}

// Keep writes down a lease that a provider has just granted: nothing of it may leave before. l says what it is; the pod is the page's. An error means that it is not
// recorded, and that the caller gives the lease back.
func (p *Page) Keep(ctx context.Context, l store.Lease, handle redact.Value) error {
	l.Pod, l.Containers, l.Since = p.pod, p.containers, p.since
	// The credentials are there already, so that the end of the request must not be what keeps them from being recorded.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	kept, err := p.ledger.records.GrantLease(ctx, p.act, l, handle)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.granted = append(p.granted, kept)
	return nil
}

// Lost says that nothing of the page reached the pod: its leases are marked to be revoked. It does not block. A lease that cannot be marked ends with its pod.
func (p *Page) Lost() {
	p.mu.Lock()
	granted := p.granted
	p.granted = nil
	p.mu.Unlock()
	for _, l := range granted {
		p.ledger.ending.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
			defer cancel()
			if err := p.ledger.records.EndLease(ctx, p.act, l.OrgID, l.ID, Undelivered); err != nil {
				p.ledger.log.Warn("lease of an answer that was not delivered lives on until its pod is gone", "lease_id", l.ID, "provider_id", l.ProviderID, "err", err)
			}
		})
	}
}
