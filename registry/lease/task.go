// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// renew extends a lease and records its new end.
func (r *round) renew(ctx context.Context, l store.Lease) error {
	handle, err := r.config.Book.OpenLease(l)
	if err != nil {
		return err
	}
	defer handle.Wipe()
	began := time.Now()
	granted, renewable, err := r.config.Providers.Renew(ctx, l.OrgID, l.ProviderID, handle, l.Life)
	r.metrics.renewed(err)
	final := errors.Is(err, ErrFinal)
	switch {
	case errors.Is(err, ErrStranded):
		return r.abandon(ctx, l, err)
	case err != nil && !final:
		r.logger(l).Warn("lease not renewed", "expires_at", l.ExpiresAt, "err", err)
		return err
	case final:
		r.logger(l).Warn("lease cannot be renewed", "expires_at", l.ExpiresAt, "err", err)
		l.Renewable = false
	default:
		end := began.Add(granted)
		// What gives little more than there was nears the most it can have.
		if l.Renewable = renewable && end.Sub(l.ExpiresAt) > l.Life/10; !l.Renewable {
			r.logger(l).Warn("lease nears the most life it can have", "expires_at", end)
		}
		l.RenewedAt, l.ExpiresAt = began.UTC(), end.UTC()
	}
	return r.write(ctx, l)
}

// write records the lease, and shows it to the round before the watch does.
func (r *round) write(ctx context.Context, l store.Lease) error {
	now, err := r.config.Book.RenewedLease(ctx, l)
	if err != nil {
		return err
	}
	r.see(store.LeaseChange{Lease: now})
	return nil
}

// revoke gives a lease back and forgets it.
func (r *round) revoke(ctx context.Context, l store.Lease) error {
	handle, err := r.config.Book.OpenLease(l)
	if err != nil {
		return err
	}
	defer handle.Wipe()
	err = r.config.Providers.Revoke(ctx, l.OrgID, l.ProviderID, handle)
	r.metrics.revoked(l.Reason, err)
	switch {
	case err == nil:
		r.logger(l).Info("lease revoked", "reason", l.Reason)
	case errors.Is(err, ErrStranded):
		return r.abandon(ctx, l, err)
	default:
		r.logger(l).Warn("lease not revoked", "reason", l.Reason, "err", err)
		return err
	}
	return r.forget(ctx, l)
}

// abandon leaves a lease to end by itself. Its record stays until then, so that people can see what the registry cannot take back.
func (r *round) abandon(ctx context.Context, l store.Lease, cause error) error {
	if err := r.config.Book.AbandonLease(ctx, store.Act{Actor: actor}, l.OrgID, l.ID, ProviderChanged); err != nil {
		return fmt.Errorf("abandoning lease: %w", err)
	}
	r.metrics.abandon()
	r.logger(l).Warn("lease abandoned: it ends by itself", "path", l.Path, "expires_at", l.ExpiresAt, "err", cause)
	return nil
}

// expire forgets a lease that the provider has taken back by itself.
func (r *round) expire(ctx context.Context, l store.Lease) error {
	if l.State == store.LeaseEnding {
		r.logger(l).Warn("lease ended before it could be revoked", "reason", l.Reason)
	} else {
		r.logger(l).Info("lease ended")
	}
	return r.forget(ctx, l)
}

func (r *round) forget(ctx context.Context, l store.Lease) error {
	if err := r.config.Book.RemoveLease(ctx, l); err != nil {
		return fmt.Errorf("forgetting lease: %w", err)
	}
	r.see(store.LeaseChange{Lease: store.Lease{ID: l.ID}, Gone: true})
	return nil
}
