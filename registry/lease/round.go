// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// round is the work of one replica while it leads. What it remembers of pods and failures is lost with it, which costs time and nothing else.
type round struct {
	*Keeper
	slots chan struct{}
	work  sync.WaitGroup

	mu     sync.Mutex
	loaded bool
	leases map[string]*entry // :: lease id → entry
	pods   map[string]*pod   // :: uid → pod
}

// entry is a lease and when something is to be done about it.
type entry struct {
	store.Lease
	seen     time.Time // when this replica first saw it
	judged   bool      // what it supersedes was marked
	busy     bool
	failures int
	notUntil time.Time // after a failure
}

// pod is a pod that holds leases.
type pod struct {
	store.LeasePod
	leases  map[string]bool // :: lease id
	busy    bool
	lookAt  time.Time
	missing time.Time // when it was first not found; zero while it is there
}

func newRound(k *Keeper) *round {
	return &round{Keeper: k, slots: make(chan struct{}, k.config.Concurrency), leases: make(map[string]*entry), pods: make(map[string]*pod)}
}

// run follows the leases and does what is due until ctx ends or they cannot be followed any more.
func (r *round) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.config.Book.FollowLeases(ctx, r.see) }()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer r.metrics.set(nil)
	defer r.work.Wait()
	defer cancel()
	for {
		select {
		case err := <-ended:
			return err
		case now := <-ticker.C:
			r.begin(ctx, now)
		}
	}
}

// see takes a lease as it is now.
func (r *round) see(c store.LeaseChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.ID == "":
		r.loaded = true
	case c.Gone:
		r.dropLocked(c.ID)
	default:
		e := r.leases[c.ID]
		if e == nil {
			e = &entry{seen: time.Now()}
			r.leases[c.ID] = e
		}
		if c.Revision <= e.Revision {
			return
		}
		if e.State != c.State {
			e.failures, e.notUntil = 0, time.Time{}
		}
		e.Lease = c.Lease
		p := r.pods[c.Pod.UID]
		if p == nil {
			p = &pod{LeasePod: c.Pod, leases: make(map[string]bool), lookAt: time.Now().Add(rand.N(lookEvery))}
			r.pods[c.Pod.UID] = p
		}
		p.leases[c.ID] = true
	}
}

func (r *round) dropLocked(id string) {
	e := r.leases[id]
	if e == nil {
		return
	}
	delete(r.leases, id)
	if p := r.pods[e.Pod.UID]; p != nil {
		if delete(p.leases, id); len(p.leases) == 0 {
			delete(r.pods, e.Pod.UID)
		}
	}
}

// begin starts what is due, as far as there are slots; the rest is due at the next tick.
func (r *round) begin(ctx context.Context, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded {
		return
	}
	counts := map[store.LeaseState]int{}
	for id, e := range r.leases {
		counts[e.State]++
		task := r.taskLocked(e, now)
		if task == nil || !r.goLocked(func() {
			r.do(ctx, id, task)
		}) {
			continue
		}
		e.busy = true
	}
	r.metrics.set(counts)
	for _, p := range r.pods {
		if p.busy || now.Before(p.lookAt) || r.config.Pods == nil || p.Cluster != r.config.Cluster || !r.goLocked(func() { r.look(ctx, p) }) {
			continue
		}
		p.busy = true
	}
}

// goLocked starts work if there is a slot.
func (r *round) goLocked(work func()) bool {
	select {
	case r.slots <- struct{}{}:
	default:
		return false
	}
	r.work.Go(func() {
		defer func() { <-r.slots }()
		work()
	})
	return true
}

// taskLocked is what is to be done about a lease now, or nil.
func (r *round) taskLocked(e *entry, now time.Time) func(context.Context, store.Lease) error {
	switch {
	case e.busy || now.Before(e.notUntil):
		return nil
	case !now.Before(e.ExpiresAt.Add(overdue)):
		return r.expire
	case e.State == store.LeaseAbandoned:
		return nil
	case e.State == store.LeaseEnding:
		return r.revoke
	case e.Renewable && !now.Before(renewAt(e.Lease)):
		return r.renew
	case !e.judged && !now.Before(e.seen.Add(settled)):
		if len(r.supersededLocked(e.Lease)) > 0 {
			return r.supersede
		}
		e.judged = true
	}
	return nil
}

// overdue is how long after its end a lease is taken for ended: the clocks here and there differ.
const overdue = time.Minute

// renewAt is when half of the life of a lease is over. All replicas agree on it.
func renewAt(l store.Lease) time.Time { return l.RenewedAt.Add(l.ExpiresAt.Sub(l.RenewedAt) / 2) }

// do does one task for one lease and notes how it went.
func (r *round) do(ctx context.Context, id string, task func(context.Context, store.Lease) error) {
	r.mu.Lock()
	e := r.leases[id]
	if e == nil {
		r.mu.Unlock()
		return
	}
	l := e.Lease
	r.mu.Unlock()
	err := task(ctx, l)
	r.mu.Lock()
	defer r.mu.Unlock()
	e.busy = false
	switch {
	case err == nil:
		e.failures, e.notUntil = 0, time.Time{}
	case errors.Is(err, store.ErrConflict): // it changed, and the change is on its way here
		e.notUntil = time.Now().Add(tick)
	default:
		wait := min(minRetry<<min(e.failures, 10), maxRetry)
		if left := time.Until(l.ExpiresAt); l.State == store.LeaseActive && left > 0 { // several more tries before it is too late
			wait = min(wait, max(left/4, tick))
		}
		wait += rand.N(wait/2 + 1)
		if left := time.Until(l.ExpiresAt.Add(overdue)); left > 0 { // not later than it is forgotten
			wait = min(wait, left)
		}
		e.failures++
		e.notUntil = time.Now().Add(wait)
	}
}

// look asks whether a pod is gone, and ends its leases if it was twice.
func (r *round) look(ctx context.Context, p *pod) {
	gone, err := r.config.Pods.Gone(ctx, p.LeasePod)
	now := time.Now()
	r.mu.Lock()
	next := lookEvery*3/4 + rand.N(lookEvery/2)
	var end []store.Lease
	switch {
	case err != nil:
		r.config.Log.Debug("it is not known whether a pod is gone", "namespace", p.Namespace, "pod", p.Name, "err", err)
	case !gone:
		p.missing = time.Time{}
	case p.missing.IsZero():
		p.missing, next = now, confirmAfter+rand.N(confirmAfter/4)
	case now.Sub(p.missing) >= confirmAfter:
		for id := range p.leases {
			if e := r.leases[id]; e != nil && e.State == store.LeaseActive {
				end = append(end, e.Lease)
			}
		}
	}
	p.lookAt = now.Add(next)
	r.mu.Unlock()
	for _, l := range end {
		if err := r.config.Book.EndLease(ctx, store.Act{Actor: actor}, l.OrgID, l.ID, PodGone); err != nil {
			r.config.Log.Warn("lease of a pod that is gone not marked", "lease_id", l.ID, "err", err)
		}
	}
	r.mu.Lock()
	p.busy = false
	r.mu.Unlock()
}
