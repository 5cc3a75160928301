// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"
)

// TrimAudit does at once what Run does every minute.
func (s *Store) TrimAudit(ctx context.Context) { s.trimAudit(ctx) }

// DropAnswers does what Run does every ten minutes, as if it were at.
func (s *Store) DropAnswers(ctx context.Context, at time.Time) { s.dropAnswersAt(ctx, at) }

// SweepAt does what Run does every ten minutes, as if it were at.
func (s *Store) SweepAt(ctx context.Context, at time.Time) error { return s.sweepAt(ctx, at) }

// FinishDeletionsAt does what Run does every ten seconds, as if it were at.
func (s *Store) FinishDeletionsAt(ctx context.Context, at time.Time) { s.finishDeletionsAt(ctx, at) }

// ClaimSweep reports whether this replica would do it.
func (s *Store) ClaimSweep(ctx context.Context, at time.Time) (bool, error) {
	return s.claimSweep(ctx, at)
}

// Contact is when the watch last said something.
func (s *Store) Contact() int64 { return s.contact.Load() }

// RunAhead makes memory claim a revision etcd has not reached, as after a restore of etcd.
func (s *Store) RunAhead() {
	s.following.Lock()
	defer s.following.Unlock()
	ahead := s.image().clone()
	ahead.rev += 1_000_000
	s.publish(ahead, nil)
}
