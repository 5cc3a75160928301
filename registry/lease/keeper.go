// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Book is the records a [Keeper] works through, as in [store.Store].
type Book interface {
	Records
	// Lead runs work on one replica at a time, until ctx ends.
	Lead(ctx context.Context, name string, work func(context.Context)) error
	// FollowLeases yields every lease, then the zero LeaseChange, then what changes; it returns when ctx ends or it can no longer follow.
	FollowLeases(ctx context.Context, yield func(store.LeaseChange)) error
	OpenLease(l store.Lease) (redact.Value, error)
	// RenewedLease and RemoveLease return an error wrapping store.ErrConflict if the lease is not as it was.
	RenewedLease(ctx context.Context, l store.Lease) (store.Lease, error)
	RemoveLease(ctx context.Context, l store.Lease) error
	// AbandonLease decides that nothing is done about a lease any more. It changes nothing if that was decided before, or if the lease is gone.
	AbandonLease(ctx context.Context, act store.Act, orgID, id, reason string) error
}

// Providers renews and revokes at the providers. Both bound their own time.
type Providers interface {
	// Renew asks for life from now on and returns what was granted, and whether it can be renewed again. The error wraps ErrFinal if no later try can succeed, or ErrStranded.
	Renew(ctx context.Context, orgID, providerID string, handle redact.Value, life time.Duration) (granted time.Duration, renewable bool, err error)
	// Revoke returns nil also if the provider does not know the lease (any more). The error wraps ErrStranded if nobody can be asked any more.
	Revoke(ctx context.Context, orgID, providerID string, handle redact.Value) error
}

// ErrFinal is wrapped by errors of [Providers] that no later try can mend.
var ErrFinal = errors.New("no later try can succeed")

// ErrStranded is wrapped by errors of [Providers] about leases whose server the registry does not know any more: the provider's record is gone, or points elsewhere.
var ErrStranded = errors.New("nobody can be asked about the lease")

// Pods knows which pods there are.
type Pods interface {
	// Gone reports whether the pod with this uid does not run and never will again. It returns an error if that is not certain.
	Gone(ctx context.Context, p store.LeasePod) (bool, error)
}

// Config of a [Keeper]. Book and Providers are required.
type Config struct {
	Book      Book
	Providers Providers
	// Pods of Cluster. If nil, no pod is ever taken to be gone. Leases of pods of other clusters are renewed, and revoked by their own registries.
	Pods        Pods
	Cluster     string
	Concurrency int                   // questions that are open at once; 8 if 0
	Metrics     prometheus.Registerer // nil counts nothing
	Log         *slog.Logger          // nil discards
}

const (
	// lookEvery is how often each pod with a lease is looked for, about. confirmAfter is how long it must have been gone when it is not found for the second time.
	lookEvery    = 30 * time.Second
	confirmAfter = 20 * time.Second
	// minRetry and maxRetry bound the pause after a failure.
	minRetry = 2 * time.Second
	maxRetry = 5 * time.Minute
	// tick is how exactly the times above are kept.
	tick = time.Second
)

// actor is who revokes when a pod is gone, in the audit log.
const actor = "registry:leases"

// Keeper renews and revokes.
type Keeper struct {
	config  Config
	metrics *metrics
}

// NewKeeper returns a Keeper that does nothing before [Keeper.Run].
func NewKeeper(config Config) (*Keeper, error) {
	if config.Book == nil || config.Providers == nil {
		return nil, errors.New("creating keeper of leases: Book and Providers are required")
	}
	config.Concurrency = cmp.Or(config.Concurrency, 8)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(config.Metrics)
	return &Keeper{config, m}, err
}

// Run works while this replica leads, until ctx ends. It returns nil then.
func (k *Keeper) Run(ctx context.Context) error {
	return k.config.Book.Lead(ctx, "leases", func(ctx context.Context) {
		r := newRound(k)
		if err := r.run(ctx); err != nil && ctx.Err() == nil {
			k.config.Log.Warn("leases are not followed", "err", err)
		}
	})
}
