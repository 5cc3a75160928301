// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// longest is the life a lease is taken to have that says nothing of it: the most Vault gives by default.
const longest = 768 * time.Hour

// keep writes a lease down.
func keep(ctx context.Context, page *lease.Page, g provider.Granted) error {
	life := g.Life
	if life <= 0 {
		life = longest
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	return page.Keep(ctx, store.Lease{
		OrgID: g.OrgID, ProviderID: g.ProviderID, Provider: g.Provider, Path: g.Path,
		GrantedAt: now, RenewedAt: now, ExpiresAt: now.Add(life), Life: life, Renewable: g.Renewable,
	}, g.Handle)
}

// Leases are the providers as a [lease.Keeper] needs them.
func (p *Providers) Leases() lease.Providers { return leases{p.manager} }

type leases struct{ manager *provider.Manager }

func (l leases) Renew(ctx context.Context, orgID, providerID string, handle redact.Value, life time.Duration) (time.Duration, bool, error) {
	renewed, err := l.manager.Renew(ctx, orgID, providerID, handle, life)
	return renewed.Life, renewed.Renewable, final(err)
}

func (l leases) Revoke(ctx context.Context, orgID, providerID string, handle redact.Value) error {
	err := l.manager.Revoke(ctx, orgID, providerID, handle)
	if failed, ok := errors.AsType[*provider.Error](err); ok && failed.Reason == provider.ReasonLeaseEnded {
		return nil
	}
	return final(err)
}

// final marks the errors that no later try can mend. A denial is none of them: policies change.
func final(err error) error {
	failed, ok := errors.AsType[*provider.Error](err)
	switch {
	case ok && (failed.Reason == provider.ReasonProvider || failed.Reason == provider.ReasonLeaseElsewhere):
		return fmt.Errorf("%w: %w", lease.ErrStranded, err)
	case ok && failed.Reason == provider.ReasonLeaseEnded:
		return fmt.Errorf("%w: %w", lease.ErrFinal, err)
	}
	return err
}
