// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Records gives the records of providers.
type Records interface {
	// Record returns the provider of an organization as it is now. The error wraps [ErrNoRecord] if the organization has none with that id.
	Record(ctx context.Context, orgID, providerID string) (Record, error)
}

// Config of a [Manager]. Records, Types and Host.Egress are required.
type Config struct {
	Records     Records
	Types       []Type
	Host        Host
	Timeout     time.Duration         // 0 means DefaultTimeout
	Concurrency int                   // 0 means DefaultConcurrency
	Queue       time.Duration         // 0 means DefaultQueue
	Metrics     prometheus.Registerer // nil counts nothing
	Log         *slog.Logger          // nil discards
}

// Manager opens providers as they are needed and reads through them. It is safe for concurrent use.
type Manager struct {
	config  Config
	types   map[string]Type
	metrics *metrics
	salt    [32]byte // keys the digests of records, which hold credentials

	closing sync.WaitGroup // Close calls of retired providers

	mu     sync.Mutex
	opened map[id]*opened
	closed bool
}

type id struct{ org, provider string }

// reconcileEvery is how long a provider that nobody reads from may outlive a change of its record.
const reconcileEvery = time.Minute

// NewManager returns a manager. The caller closes it.
func NewManager(config Config) (*Manager, error) {
	if config.Records == nil || config.Host.Egress == nil {
		return nil, errors.New("a manager of providers needs records and an egress guard")
	}
	config.Timeout = orDefault(config.Timeout, DefaultTimeout)
	config.Concurrency = orDefault(config.Concurrency, DefaultConcurrency)
	config.Queue = orDefault(config.Queue, DefaultQueue)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Host.Log == nil {
		config.Host.Log = config.Log
	}
	m := &Manager{config: config, types: make(map[string]Type), opened: make(map[id]*opened)}
	for _, t := range config.Types {
		m.types[t.Name] = t
	}
	_, _ = rand.Read(m.salt[:])
	var err error
	if m.metrics, err = newMetrics(config.Metrics); err != nil {
		return nil, err
	}
	return m, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// Validate reports the first rule of its type that a record breaks. The error is an [*Error] of KindInvalid.
func (m *Manager) Validate(r Record) error {
	t, err := m.typeOf(r)
	if err != nil {
		return err
	}
	if err := t.Validate(r, m.config.Host); err != nil {
		return named(err, r.Name)
	}
	return nil
}

// ValidateRef reports why a reference into a provider can never be read. The error is an [*Error].
func (m *Manager) ValidateRef(r Record, remote store.Remote) error {
	t, err := m.typeOf(r)
	if err != nil {
		return err
	}
	if _, err := t.Path(remote.Path, remote.Version); err != nil {
		return named(err, r.Name)
	}
	return nil
}

// Fetch returns the value of a remote secret as it is at the provider at some moment after the call began. The value belongs to the caller, who wipes it. It returns within
// the timeout or when ctx ends, and may be called concurrently. The error is an [*Error].
func (m *Manager) Fetch(ctx context.Context, orgID string, remote store.Remote) (redact.Value, error) {
	return m.Begin().Fetch(ctx, orgID, remote)
}

// Check reports whether a provider's server can be reached and accepts its credentials. The circuit breaker is not asked, and learns the answer. The error is an [*Error].
func (m *Manager) Check(ctx context.Context, orgID, providerID string) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	o, err := m.acquire(ctx, orgID, providerID)
	if err != nil {
		return err
	}
	defer m.release(o)
	return named(o.check(ctx), o.name)
}

// Try checks a record that may not be stored yet, as Check does.
func (m *Manager) Try(ctx context.Context, r Record) error {
	if err := m.Validate(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	p, err := m.types[r.Type].Open(r, m.config.Host)
	if err != nil {
		return named(err, r.Name)
	}
	defer p.Close()
	return named(p.Check(ctx), r.Name)
}

// Run retires providers whose records changed or went, also those that nobody reads from. It returns nil when ctx ends.
func (m *Manager) Run(ctx context.Context) error {
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

// acquire returns the provider opened from the record as it is now. The caller releases it.
func (m *Manager) acquire(ctx context.Context, orgID, providerID string) (*opened, error) {
	key := id{orgID, providerID}
	r, err := m.config.Records.Record(ctx, orgID, providerID)
	switch {
	case errors.Is(err, ErrNoRecord):
		m.forget(key)
		return nil, &Error{Kind: KindNotFound, Reason: ReasonProvider, Message: "the organization has no such provider"}
	case err != nil:
		return nil, &Error{Kind: KindUnavailable, Reason: ReasonRecord, Message: "the provider's record could not be read", Err: err}
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
			return o.acquireLocked(), nil
		}
		m.retireLocked(key, o)
	}
	p, err := t.Open(r, m.config.Host)
	if err != nil {
		return nil, named(err, r.Name)
	}
	o := newOpened(m, t, r, digest, p)
	m.opened[key] = o
	return o.acquireLocked(), nil
}

func (m *Manager) typeOf(r Record) (Type, error) {
	t, ok := m.types[r.Type]
	if !ok {
		return Type{}, &Error{Kind: KindInvalid, Reason: ReasonConfig, Provider: r.Name, Message: fmt.Sprintf("this registry knows no provider type %q", r.Type)}
	}
	return t, nil
}

func (m *Manager) release(o *opened) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.users--; o.users == 0 && o.retired {
		m.closeLocked(o)
	}
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
	m.closing.Go(func() {
		if err := o.provider.Close(); err != nil {
			m.config.Log.Debug("provider closed with an error", "provider", o.name, "type", o.kind.Name, "err", err)
		}
	})
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
	}
}

// digest covers everything a provider is opened from.
func (m *Manager) digest(r Record) (sum [sha256.Size]byte) {
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
	h.Sum(sum[:0])
	return sum
}

// named returns err with the provider's name in it; the error may be shared, so it is a copy.
func named(err error, name string) error {
	if err == nil {
		return nil
	}
	e := *asError(err)
	e.Provider = name
	return &e
}
