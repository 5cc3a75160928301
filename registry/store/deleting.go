// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Deletion is an organization that was deleted and of which something is left.
type Deletion struct {
	OrgID, Slug string
	At          time.Time
	By          string // principal
	// Leases are those that are not revoked yet. While there are any, what they are revoked with is kept: the organization's providers, until Until at most.
	Leases int
	Until  time.Time
}

// Deletions returns the deletions that are not finished, in the order of their organizations' ids. It reads etcd.
func (s *Store) Deletions(ctx context.Context) ([]Deletion, error) {
	if err := s.keyErr(); err != nil {
		return nil, err
	}
	var all []Deletion
	err := s.walkDeletions(ctx, func(d deletion, _ int64) error {
		left, err := s.leasesLeft(ctx, d.OrgID)
		all = append(all, Deletion{OrgID: d.OrgID, Slug: d.Slug, At: d.At, By: d.By, Leases: left, Until: d.At.Add(leaseGrace)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing deletions: %w", err)
	}
	return all, nil
}

// Deleting is how many deletions were not finished when this replica last looked, which it does every few seconds.
func (s *Store) Deleting() int { return int(s.deleting.Load()) }

// leasesLeft counts the leases of an organization that somebody is still to be asked about.
func (s *Store) leasesLeft(ctx context.Context, orgID string) (left int, err error) {
	err = s.walkKeys(ctx, s.space.leasesOf(orgID), func(key string, value []byte, rev int64) error {
		l, err := s.openLeaseRecord(key, value, rev)
		switch {
		case errors.Is(err, ErrIntegrity): // the deletion removes it
			return nil
		case err == nil && l.State != LeaseAbandoned:
			left++
		}
		return err
	})
	return left, err
}
