// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// settled is how long a lease must have been there before the ones it supersedes are ended. Whether its answer reached the pod is known by then: if not, it ends itself and supersedes nothing.
const settled = 20 * time.Second

// supersedes reports whether n shows that nothing uses o any more: both are of one path and one pod, and every container that may use o has since started anew and been given n.
//
// Since is the revision the registry knew when n was asked for. What was recorded up to then was asked for before, so that an answer which overtook another one, or was overtaken, is never taken for an
// earlier one. In records of which that does not hold, such as those that were copied to another etcd, the revisions say nothing.
func supersedes(n, o store.Lease) bool {
	switch {
	case n.OrgID != o.OrgID, n.ProviderID != o.ProviderID, n.Path != o.Path:
		return false
	case n.Pod.UID == "", n.Pod.UID != o.Pod.UID, n.Pod.Cluster != o.Pod.Cluster:
		return false
	case n.Since == 0, n.Since >= n.Created:
		return false
	case o.Created == 0, o.Created > n.Since:
		return false
	case len(o.Containers) == 0:
		return false
	}
	return !slices.ContainsFunc(o.Containers, func(c string) bool { return !slices.Contains(n.Containers, c) })
}

// supersededLocked are the active leases that n supersedes.
func (r *round) supersededLocked(n store.Lease) []store.Lease {
	var earlier []store.Lease
	for id := range r.pods[n.Pod.UID].leases {
		if o := r.leases[id]; o != nil && o.State == store.LeaseActive && supersedes(n, o.Lease) {
			earlier = append(earlier, o.Lease)
		}
	}
	return earlier
}

// supersede marks the leases that n supersedes to be revoked. What is cut short is done by the next leader, who finds the same.
func (r *round) supersede(ctx context.Context, n store.Lease) error {
	r.mu.Lock()
	var earlier []store.Lease
	if e := r.leases[n.ID]; e != nil && e.State == store.LeaseActive {
		earlier = r.supersededLocked(e.Lease)
	}
	r.mu.Unlock()
	for _, o := range earlier {
		if err := r.config.Book.EndLease(ctx, store.Act{Actor: actor}, o.OrgID, o.ID, Superseded); err != nil {
			r.logger(o).Warn("superseded lease not marked", "by", n.ID, "err", err)
			return fmt.Errorf("ending superseded lease: %w", err)
		}
		r.logger(o).Info("lease superseded", "by", n.ID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.leases[n.ID]; e != nil {
		e.judged = true
	}
	return nil
}
