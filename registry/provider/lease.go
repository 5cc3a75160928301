// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// Lease is what a server granted together with a leased document.
type Lease struct {
	// Handle is what the provider renews and revokes the lease with, in a form of its own. It is as secret as a credential.
	Handle redact.Value
	// Life is how long it was granted for.
	Life      time.Duration
	Renewable bool
}

// Leaser is a [Provider] some of whose documents are leased. Its errors are as those of Read. What it is given may be of a server that the record pointed to before: nothing
// of it is sent to another one, and the error is ReasonLeaseElsewhere.
type Leaser interface {
	// Renew asks for life from now on, and returns what was granted; the handle stays as it is.
	Renew(ctx context.Context, handle redact.Value, life time.Duration) (Lease, error)
	// Revoke gives the lease back. It returns nil also if the server does not know it.
	Revoke(ctx context.Context, handle redact.Value) error
}

// Granted is a lease and where it is from.
type Granted struct {
	OrgID, ProviderID string
	Provider          string // its name
	Path              string
	Lease
}

// Renew asks the provider of a lease to extend it. Its circuit breaker is asked first. The error is an [*Error].
func (m *Manager) Renew(ctx context.Context, orgID, providerID string, handle redact.Value, life time.Duration) (renewed Lease, err error) {
	err = m.lease(ctx, orgID, providerID, func(ctx context.Context, l Leaser) (err error) {
		renewed, err = l.Renew(ctx, handle, life)
		return err
	})
	return renewed, err
}

// Revoke gives a lease back to its provider. Its circuit breaker is asked first. The error is an [*Error].
func (m *Manager) Revoke(ctx context.Context, orgID, providerID string, handle redact.Value) error {
	return m.lease(ctx, orgID, providerID, func(ctx context.Context, l Leaser) error { return l.Revoke(ctx, handle) })
}

func (m *Manager) lease(ctx context.Context, orgID, providerID string, ask func(context.Context, Leaser) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	o, err := m.acquire(ctx, orgID, providerID)
	if err != nil {
		return err
	}
	defer m.release(o)
	l, ok := o.provider.(Leaser)
	if !ok {
		return &Error{Kind: KindInvalid, Reason: ReasonLeaseElsewhere, Provider: o.name, Message: "this type of provider leases nothing, so the lease is of another"}
	}
	return named(o.through(ctx, func(ctx context.Context) error { return ask(ctx, l) }), o.name)
}

// through asks the server something in its turn, once. As a read, it ends before its caller does, so that a silent server is seen to fail: else the leases of one would wait for it again and again, and
// take the turns of those that others have made.
func (o *opened) through(parent context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(parent, o.timeout*4/5)
	defer cancel()
	turn, refused := o.gate.enter(ctx)
	if refused != nil {
		return refused
	}
	began := time.Now()
	_, err := guarded(ctx, func(ctx context.Context) (Document, error) { return Document{}, ask(ctx) })
	if err == nil {
		o.gate.leave(turn, nil, false)
		o.learn(nil)
		return nil
	}
	failed := asError(err)
	o.gate.leave(turn, failed, parent.Err() != nil && time.Since(began) < soon)
	return failed
}

// giveBack revokes a lease that nobody holds, in the background. It asks the provider that granted it, also if its record is gone meanwhile. What does not succeed at once is left to the lease's own end.
func (m *Manager) giveBack(o *opened, l *Lease) {
	leaser, ok := o.provider.(Leaser)
	if l == nil || !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed { // and the last of its closings may be over
		return
	}
	o.acquireLocked()
	m.closing.Go(func() {
		defer m.release(o)
		ctx, cancel := context.WithTimeout(context.Background(), m.config.Timeout)
		defer cancel()
		if err := o.through(ctx, func(ctx context.Context) error { return leaser.Revoke(ctx, l.Handle) }); err != nil {
			m.config.Log.Warn("lease that nobody holds ends by itself", "provider", o.name, "life", l.Life.String(), "err", err)
		}
	})
}
