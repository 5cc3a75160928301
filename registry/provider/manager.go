// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
	// All lists the providers of every organization.
	All(ctx context.Context) ([]Key, error)
}

// Config of a [Manager]. Records, Types and Host.Egress are required.
type Config struct {
	Records     Records
	Types       []Type
	Host        Host
	Timeout     time.Duration // 0 means DefaultTimeout
	Concurrency int           // 0 means DefaultConcurrency
	Queue       time.Duration // 0 means DefaultQueue
	// HealthInterval is how often every provider is checked in the background; 0 means never, so that only reads and checks on request tell how they are.
	HealthInterval time.Duration
	Metrics        prometheus.Registerer // nil counts nothing
	Log            *slog.Logger          // nil discards
}

// Manager opens providers as they are needed and reads through them. It is safe for concurrent use.
type Manager struct {
	config  Config
	types   map[string]Type
	metrics *metrics
	healths *healths
	salt    [32]byte // keys the digests of records, which hold credentials

	closing sync.WaitGroup // Close calls of retired providers

	mu     sync.Mutex
	opened map[id]*opened
	closed bool
}

type id struct{ org, provider string }

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
	m.healths = newHealths(config.Log)
	if m.metrics, err = newMetrics(config.Metrics, m.healths); err != nil {
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

// ValidateRef reports why a reference into a provider can never be read, as far as it can be told without asking the server. The error is an [*Error].
func (m *Manager) ValidateRef(r Record, remote store.Remote) error {
	t, err := m.typeOf(r)
	if err != nil {
		return err
	}
	ref, err := t.Path(remote.Path, remote.Version)
	if err != nil {
		return named(err, r.Name)
	}
	allows := t.Allows
	if allows == nil {
		allows = Allowed
	}
	if len(r.AllowedPrefixes) > 0 && !allows(ref.Path, r.AllowedPrefixes) {
		return &Error{Kind: KindDenied, Reason: ReasonPrefix, Provider: r.Name, Message: "the path is outside the allowed prefixes of the provider"}
	}
	return nil
}

// Fetch returns the value of a remote secret as it is at the provider at some moment after the call began. The value belongs to the caller, who wipes it. It returns within
// the timeout or when ctx ends, and may be called concurrently. What is leased is given back at once. The error is an [*Error].
func (m *Manager) Fetch(ctx context.Context, orgID string, remote store.Remote) (redact.Value, error) {
	batch := m.Begin(nil)
	defer batch.End()
	fetched, err := batch.Fetch(ctx, orgID, remote)
	return fetched.Value, err
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
	defer func() { _ = p.Close() }()
	return named(p.Check(ctx), r.Name)
}

func (m *Manager) typeOf(r Record) (Type, error) {
	t, ok := m.types[r.Type]
	if !ok {
		return Type{}, &Error{Kind: KindInvalid, Reason: ReasonConfig, Provider: r.Name, Message: "this registry does not know the provider's type; it knows " + strings.Join(slices.Sorted(maps.Keys(m.types)), ", ")}
	}
	return t, nil
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
