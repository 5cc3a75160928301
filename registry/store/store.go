// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Config says where the store keeps its records and how. Client and Keys are borrowed: the caller closes them after [Store.Run] has returned.
type Config struct {
	Client *clientv3.Client
	Prefix string       // [DefaultPrefix] if empty; ends with '/'
	Keys   Keys         // a keydir.Keyring, or an envelope.Ring
	Log    *slog.Logger // if nil, nothing is logged
	// AuditEvents and AuditAge bound the audit events kept in etcd, per chain; older ones are dropped. 0 means 10,000 events and 7 days. The log of the
	// registry, shipped elsewhere, is the archive.
	AuditEvents int
	AuditAge    time.Duration
	// Journal is told of every change before it is committed; unless it returns nil, the change does not happen and ends with [ErrAudit]. A change of which it
	// was told may still not happen, and be told of again when it is decided anew. If nil, the event in the change's own transaction is the only one.
	Journal func(ctx context.Context, events ...audit.Event) error
	// Providers checks providers and references to them before they are written; if nil, only what holds for every type is checked.
	Providers ProviderRules
	// DeletedRetention is how long a deleted secret can be undeleted before it is purged; 0 means [DefaultDeletedRetention], less means for ever.
	DeletedRetention time.Duration
	// KeptVersions is how many superseded versions of a secret are kept; 0 means all.
	KeptVersions int
	// FederatedTokens is how many bearers of one federation may be good at a time; 0 means [MaxFederatedTokens].
	FederatedTokens int
	// Answers bounds the answers to one caller's mutations with a key that are kept of each day; 0 means [DefaultAnswers].
	Answers int
	// ReconcileEvery is the pause between two comparisons of memory with etcd; 0 means 10 minutes.
	ReconcileEvery time.Duration
}

// Time limits. An etcd call that takes longer ends with [ErrUnavailable].
const (
	readTimeout  = 2 * time.Second
	writeTimeout = 5 * time.Second
	// silence is how long a healthy watch may say nothing: progress is asked for every quarter of it.
	silence = 8 * time.Second
)

// Store is safe for concurrent use. Reads and writes work while [Store.Run] runs.
type Store struct {
	client *clientv3.Client
	space  keyspace
	keys   Keys
	log    *slog.Logger
	config Config

	published
	barrier barrier
	chains  sync.Map // :: chain → *chain
	uses    tokenUses
	seen    sessionUses

	keyState  atomic.Pointer[keyState]
	contact   atomic.Int64 // when the watch last said something, Unix nanoseconds; 0 before the first time
	restart   chan error   // asks the follower for a new watch, and says why
	following sync.Mutex   // held while the image is replaced
	deleting  atomic.Int64 // deletions that were not finished at the last look
	counters  counters
}

// keyState is what was found when the key-check records were last compared with a ring.
type keyState struct {
	err     error // nil, or wrapping ErrKey
	primary envelope.KID
	kids    string // of the whole ring
}

// Stats counts what should never happen, since [Open].
type Stats struct {
	IntegrityFailures int64 // records that did not verify
	Reconciled        int64 // keys that memory had lost or misremembered
	WatchRestarts     int64
	Reloads           int64 // full reads after compaction, a key change or a repair
	BarrierReads      int64 // quorum reads made for reads; smaller than the number of reads
	Conflicts         int64 // transactions that were tried again
}

type counters struct{ integrity, reconciled, restarts, reloads, barriers, conflicts atomic.Int64 }

// Stats returns the current counts.
func (s *Store) Stats() Stats {
	c := &s.counters
	return Stats{c.integrity.Load(), c.reconciled.Load(), c.restarts.Load(), c.reloads.Load(), c.barriers.Load(), c.conflicts.Load()}
}

// Open connects a store to its records: it checks the schema, the key-check records, and loads and verifies everything. An empty prefix is initialized; one
// that holds data without a key-check record, or a newer schema, is refused.
//
// A ring that lacks a key is not an error of Open: the store is opened not ready, [Store.Ready] and every read and write return [ErrKey] with the missing
// key's id, and it recovers by itself when [Config.Keys] has that key.
func Open(ctx context.Context, config Config) (*Store, error) {
	if config.Prefix == "" {
		config.Prefix = DefaultPrefix
	}
	if !strings.HasSuffix(config.Prefix, "/") {
		return nil, fmt.Errorf("opening store: prefix %q does not end with a slash", config.Prefix)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.AuditEvents == 0 {
		config.AuditEvents = 10_000
	}
	if config.AuditAge == 0 {
		config.AuditAge = 7 * 24 * time.Hour
	}
	if config.DeletedRetention == 0 {
		config.DeletedRetention = DefaultDeletedRetention
	}
	if config.FederatedTokens == 0 {
		config.FederatedTokens = MaxFederatedTokens
	}
	if config.Answers == 0 {
		config.Answers = DefaultAnswers
	}
	if config.ReconcileEvery == 0 {
		config.ReconcileEvery = 10 * time.Minute
	}
	s := &Store{
		client:  config.Client,
		space:   keyspace(config.Prefix),
		keys:    config.Keys,
		log:     config.Log,
		config:  config,
		restart: make(chan error, 1),
	}
	s.barrier.read = s.readTip
	s.uses.init()
	s.seen.init()
	s.published.init(newImage())
	if err := s.checkFormat(ctx); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	if err := s.reload(ctx); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return s, nil
}

// Run follows etcd until ctx ends, and returns nil then. It retries everything itself.
func (s *Store) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.follow(ctx) })
	group.Go(func() error { return every(ctx, s.config.ReconcileEvery, s.reconcileOnce) })
	group.Go(func() error { return every(ctx, time.Second, s.followKeys) })
	group.Go(func() error { return every(ctx, time.Minute, s.trimAudit) })
	group.Go(func() error { return every(ctx, 10*time.Minute, s.dropAnswers) })
	group.Go(func() error { return every(ctx, sweepEvery/10, s.sweep) })
	group.Go(func() error {
		s.finishDeletions(ctx)
		return every(ctx, deletionEvery, s.finishDeletions)
	})
	group.Go(func() error { return s.writeTokenUses(ctx) })
	group.Go(func() error { return s.writeSessionUses(ctx) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// every calls f with a pause between calls until ctx ends.
func every(ctx context.Context, pause time.Duration, f func(context.Context)) error {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			f(ctx)
		}
	}
}

// Ready returns nil, or why the store cannot serve: an error wrapping [ErrKey] that names the key, or [ErrUnavailable].
func (s *Store) Ready() error {
	if err := s.keyErr(); err != nil {
		return err
	}
	last := s.contact.Load()
	if last == 0 {
		return fmt.Errorf("%w: etcd is not being followed yet", ErrUnavailable)
	}
	if age := time.Since(time.Unix(0, last)); age > silence+readTimeout {
		return fmt.Errorf("%w: etcd has been silent for %s", ErrUnavailable, age.Round(time.Second))
	}
	return nil
}

// keyErr returns an error wrapping ErrKey if a key is missing. Then nothing is served: a store that can verify only some of its records would answer "not
// found" for the others.
func (s *Store) keyErr() error {
	if state := s.keyState.Load(); state != nil && state.err != nil {
		return state.err
	}
	return s.image().missingKey()
}

// etcdError says what an error of an etcd call means to a caller: its own context ended, or the store is unavailable.
func etcdError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
