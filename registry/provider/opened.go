// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"time"
)

// opened is a provider in use, with everything that belongs to it alone.
type opened struct {
	kind     Type
	name     string
	digest   recordDigest
	provider Provider
	keep     time.Duration // Record.LastKnownGood
	audience string        // of the tokens of pods it is read with; empty if it has an identity of its own
	gate     *gate
	reads    coalescer
	timeout  time.Duration
	metrics  *metrics
	learn    func(*Error) // takes what a check or read tells about the provider

	// Guarded by Manager.mu.
	users    int
	retired  bool
	closed   bool
	revision int64 // the newest of the record in this state
}

func newOpened(m *Manager, t Type, r Record, digest recordDigest, p Provider) *opened {
	changed := func(open bool, failures int) {
		if open {
			m.metrics.opened(t.Name)
			m.config.Log.Warn("provider fails, its circuit is open", "provider", r.Name, "provider_id", r.ID, "type", t.Name, "failures", failures)
		} else {
			m.config.Log.Info("provider answers again", "provider", r.Name, "provider_id", r.ID, "type", t.Name)
		}
	}
	return &opened{
		kind: t, name: r.Name, revision: r.Revision, digest: digest, provider: p, keep: r.LastKnownGood, audience: m.Audience(r),
		gate: newGate(m.config.Concurrency, m.config.Queue, changed), timeout: m.config.Timeout, metrics: m.metrics,
	}
}

func (o *opened) acquireLocked() *opened {
	o.users++
	return o
}

// soon is how long a server may take before a read that everybody gave up on counts as its failure. Below, it says nothing about the server.
const soon = time.Second

// read reads ref from the server, once or, within the budget, twice. It ends before the fetches that began with it, so that a silent server is seen to fail and not just to be left.
func (o *opened) read(parent context.Context, ref Ref, from readFunc) (Document, error) {
	ctx, cancel := context.WithTimeout(parent, o.timeout*4/5)
	defer cancel()
	turn, err := o.gate.enter(ctx)
	if err != nil {
		return Document{}, err
	}
	began := time.Now()
	doc, err := o.attempt(ctx, ref, from)
	if err != nil && err.retryable() && o.gate.mayRetry() {
		select {
		case <-time.After(jitter(50 * time.Millisecond)):
			doc, err = o.attempt(ctx, ref, from)
		case <-ctx.Done():
		}
	}
	abandoned := parent.Err() != nil && time.Since(began) < soon
	o.gate.leave(turn, err, abandoned)
	if !abandoned && o.telling(err) {
		o.learn(err)
	}
	if err != nil {
		return Document{}, err
	}
	return doc, nil
}

// readFunc is the Read of a [Provider] or of a [Reader].
type readFunc func(context.Context, Ref) (Document, error)

func (o *opened) attempt(ctx context.Context, ref Ref, from readFunc) (doc Document, failed *Error) {
	began := time.Now()
	doc, err := guarded(ctx, func(ctx context.Context) (Document, error) { return from(ctx, ref) })
	if err != nil {
		failed = asError(err)
	}
	doc.readAt = began
	o.metrics.read(o.kind.Name, outcome(failed), time.Since(began))
	return doc, failed
}

// check asks the server whatever the circuit breaker thinks of it: an administrator who just repaired it wants to know.
func (o *opened) check(ctx context.Context) error {
	select {
	case o.gate.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := guarded(ctx, func(ctx context.Context) (Document, error) { return Document{}, o.provider.Check(ctx) })
	if err == nil {
		o.gate.leave(turn{}, nil, false)
		o.learn(nil)
		return nil
	}
	failed := asError(err)
	o.gate.leave(turn{}, failed, failed.Kind == KindUnavailable)
	if !errors.Is(ctx.Err(), context.Canceled) && failed.Reason != ReasonClosed {
		o.learn(failed)
	}
	return failed
}
