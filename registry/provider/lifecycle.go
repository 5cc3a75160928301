// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"sync"
	"time"
)

// reconcileEvery is how long a provider that nobody reads from may outlive a change of its record.
const reconcileEvery = time.Minute

// acquire returns the provider opened from the record as it is now. The caller releases it.
func (m *Manager) acquire(ctx context.Context, orgID, providerID string) (*opened, error) {
	key := id{orgID, providerID}
	r, err := m.config.Records.Record(ctx, orgID, providerID)
	if err != nil {
		if errors.Is(err, ErrNoRecord) {
			m.forget(key)
			m.healths.forget(key)
		}
		return nil, Unread(err)
	}
	t, err := m.typeOf(r)
	if err != nil {
		return nil, err
	}
	digest := m.digest(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, &Error{Kind: KindUnavailable, Reason: ReasonClosed, Message: "the registry is shutting down"}
	}
	if o := m.opened[key]; o != nil {
		// A slower request may come with an older record: it must not bring back what was replaced.
		if o.digest == digest || r.Revision < o.revision {
			m.healths.begin(key, t.Name, o.digest, r.Revision)
			o.revision = max(o.revision, r.Revision) // a change that was undone
			return o.acquireLocked(), nil
		}
		m.retireLocked(key, o)
	}
	m.healths.begin(key, t.Name, digest, r.Revision)
	p, err := t.Open(r, m.config.Host)
	if err != nil {
		m.healths.learn(key, r.Name, digest, asError(err))
		return nil, named(err, r.Name)
	}
	o := newOpened(m, t, r, digest, p)
	o.reads.orphaned = func(d Document) { m.giveBack(o, d.Lease) }
	o.learn = func(err *Error) { m.healths.learn(key, r.Name, digest, err) }
	m.opened[key] = o
	return o.acquireLocked(), nil
}

// source is what the values of a document came from.
func (m *Manager) source(o *opened) Source {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Source{Keep: o.keep, Revision: o.revision}
}

// hold is acquire for a provider that is acquired already. The caller releases it.
func (m *Manager) hold(o *opened) *opened {
	m.mu.Lock()
	defer m.mu.Unlock()
	return o.acquireLocked()
}

func (m *Manager) release(o *opened) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.users--; o.users == 0 && o.retired {
		m.closeLocked(o)
	}
}

// Run retires providers whose records changed or went, also those that nobody reads from, and checks all of them in the background. It returns nil when ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	var probing sync.WaitGroup
	defer probing.Wait()
	probing.Go(func() { m.probe(ctx) })
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.reconcile(ctx)
		}
	}
}

// reconcile retires the providers whose records are gone or changed, so that their tokens end although nobody reads. It does not close idle ones: they keep tokens alive that would be
// lost for ever if nobody renewed them.
func (m *Manager) reconcile(ctx context.Context) {
	m.mu.Lock()
	opened := maps.Clone(m.opened)
	m.mu.Unlock()
	for key, o := range opened {
		r, err := m.config.Records.Record(ctx, key.org, key.provider)
		gone := errors.Is(err, ErrNoRecord)
		if changed := err == nil && m.digest(r) != o.digest && r.Revision >= o.revision; !gone && !changed {
			continue
		}
		m.mu.Lock()
		if m.opened[key] == o {
			m.retireLocked(key, o)
		}
		m.mu.Unlock()
		if gone {
			m.healths.forget(key)
		}
	}
}

// Close closes every provider and waits until they are closed. Fetches afterwards fail.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	for key, o := range m.opened {
		m.retireLocked(key, o)
	}
	m.mu.Unlock()
	m.closing.Wait()
	return nil
}

func (m *Manager) forget(key id) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.opened[key]; o != nil {
		m.retireLocked(key, o)
	}
}

// retireLocked takes a provider out of use and closes it when the last of its reads is done; they are bounded by the timeout.
func (m *Manager) retireLocked(key id, o *opened) {
	delete(m.opened, key)
	o.retired = true
	if o.users == 0 {
		m.closeLocked(o)
	}
}

func (m *Manager) closeLocked(o *opened) {
	if o.closed { // it was asked about a lease once more
		return
	}
	o.closed = true
	m.closing.Go(func() {
		if err := o.provider.Close(); err != nil {
			m.config.Log.Debug("provider closed with an error", "provider", o.name, "type", o.kind.Name, "err", err)
		}
	})
}

// recordDigest tells states of a record apart.
type recordDigest [sha256.Size]byte

// digest covers everything a provider is opened from.
func (m *Manager) digest(r Record) (sum recordDigest) {
	h := hmac.New(sha256.New, m.salt[:])
	field := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	field([]byte(r.Name))
	field([]byte(r.Type))
	field(r.Config)
	field(r.Credentials.Reveal())
	for _, p := range r.AllowedPrefixes {
		field([]byte(p))
	}
	field([]byte(r.LastKnownGood.String()))
	h.Sum(sum[:0])
	return sum
}
