// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

const (
	// deletionBatch is how many keys one transaction of a deletion removes. Memory is told of them in one message, and other writers wait that long.
	deletionBatch = 512
	// deletionEvery is the pause between two looks for deletions that are not finished.
	deletionEvery = 10 * time.Second
	// leaseGrace is how long a deletion keeps the providers of the organization at most, so that its leases are revoked with their credentials: longer than most outages last, and not for ever.
	leaseGrace = 24 * time.Hour
)

// ReasonOrganizationDeleted is why the leases of a deleted organization are revoked.
const ReasonOrganizationDeleted = "organization_deleted"

// deletion is the tombstone of an organization whose contents are still being removed.
type deletion struct {
	OrgID     string    `json:"org_id"`
	Slug      string    `json:"slug"`
	At        time.Time `json:"at"`
	By        string    `json:"by"` // principal
	RequestID string    `json:"request_id,omitempty"`
	SourceIP  string    `json:"source_ip,omitempty"`
}

func (d deletion) act() Act { return Act{Actor: d.By, RequestID: d.RequestID, SourceIP: d.SourceIP} }

// DeleteOrganization deletes an organization with everything in it, for good. It returns [ErrNotFound], a [ConflictError], or a [NotEmptyError] unless force is set.
//
// From the transaction on that it makes, nothing resolves in the organization, nothing is created or changed in it, its members and API tokens are none, and its slug is free. What is in it is
// removed afterwards, in batches, which this replica begins before the method returns and which any replica goes on with after a fault. Audit events stay until their age ends.
func (s *Store) DeleteOrganization(ctx context.Context, act Act, orgID string, expect int64, force bool) error {
	var outside namesOf
	if !force {
		var err error
		if outside, err = s.contentsOutside(ctx, orgID); err != nil {
			return fmt.Errorf("deleting organization: %w", err)
		}
	}
	tombstone := s.space.deletion(orgID)
	var d deletion
	rev, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		o, err := m.org(s.space, orgID)
		if err != nil {
			return nil, err
		}
		if err := o.expect(expect); err != nil {
			return nil, err
		}
		if !force {
			have := m.contents(s.space, orgID, outside)
			if slices.ContainsFunc(have, func(c Content) bool { return c.NeedsForce }) {
				return nil, &NotEmptyError{have}
			}
		}
		d = deletion{OrgID: orgID, Slug: o.Slug, At: now(), By: act.Actor, RequestID: act.RequestID, SourceIP: act.SourceIP}
		key := s.space.org(orgID)
		ch := &change{
			compares: []clientv3.Cmp{exists(key, o.Revision), absent(tombstone)},
			ops:      []clientv3.Op{clientv3.OpDelete(key), clientv3.OpDelete(s.space.slug(o.Slug))},
			event:    act.event(orgID, audit.OrganizationDelete),
		}
		ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "organization", o.ID, o.Slug
		return ch, s.puts(ch, record{tombstone, kindDeletion, d})
	})
	if err != nil {
		return fmt.Errorf("deleting organization: %w", err)
	}
	if err := s.finishDeletion(ctx, d, rev, now()); err != nil {
		s.log.Info("deletion of an organization goes on in the background", "org_id", orgID, "err", err)
	}
	return nil
}

// finishDeletions goes on with every deletion that is not finished. All replicas may do so at once.
func (s *Store) finishDeletions(ctx context.Context) { s.finishDeletionsAt(ctx, now()) }

func (s *Store) finishDeletionsAt(ctx context.Context, at time.Time) {
	if s.keyErr() != nil {
		return // a record that cannot be opened now is none that does not verify
	}
	unfinished := int64(0)
	err := s.walkDeletions(ctx, func(d deletion, rev int64) error {
		err := s.finishDeletion(ctx, d, rev, at)
		if err != nil {
			unfinished++
		}
		if err != nil && !errors.Is(err, errLeasesLeft) {
			s.log.Warn("deletion of an organization not finished", "org_id", d.OrgID, "err", err)
		}
		return nil
	})
	switch {
	case err == nil:
		s.deleting.Store(unfinished)
	case ctx.Err() == nil:
		s.log.Warn("deletions of organizations not looked for", "err", err)
	}
}

// walkDeletions yields every tombstone that verifies, and its revision.
func (s *Store) walkDeletions(ctx context.Context, yield func(d deletion, rev int64) error) error {
	return s.walkKeys(ctx, s.space.deletions(), func(key string, value []byte, rev int64) error {
		var d deletion
		err := unseal(s.keys, key, kindDeletion, value, &d)
		if err == nil && s.space.deletion(d.OrgID) != key {
			err = fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
		}
		if err != nil {
			s.counters.integrity.Add(1)
			s.log.Error("record does not verify", "key", key, "err", err)
			return nil
		}
		return yield(d, rev)
	})
}

// errLeasesLeft means that a deletion waits until leases are revoked.
var errLeasesLeft = errors.New("leases are not revoked yet")

// finishDeletion removes what is left of a deleted organization, and its tombstone, which is at revision rev, last. It may be cut short anywhere and begun again. Data keys go first, providers last:
// leases are revoked with their credentials, until leaseGrace is over at at. Those that are left then are abandoned as those of any deleted provider, and their records end with them.
func (s *Store) finishDeletion(ctx context.Context, d deletion, rev int64, at time.Time) error {
	left, err := s.endLeases(ctx, d)
	if err != nil {
		return err
	}
	ranges := s.space.contentRanges(d.OrgID)
	for _, r := range ranges[:len(ranges)-1] {
		if err := s.deleteRange(ctx, d, rev, r); err != nil {
			return err
		}
	}
	if left > 0 && at.Before(d.At.Add(leaseGrace)) {
		return errLeasesLeft
	}
	if err := s.deleteRange(ctx, d, rev, ranges[len(ranges)-1]); err != nil {
		return err
	}
	return s.bury(ctx, d, rev)
}

// bury removes the tombstone, with the event that tells the installation that nothing is left.
func (s *Store) bury(ctx context.Context, d deletion, rev int64) error {
	key := s.space.deletion(d.OrgID)
	_, err := s.mutate(ctx, installation, func(*image) (*change, error) {
		limited, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		resp, err := s.client.Get(limited, key, clientv3.WithKeysOnly())
		switch {
		case err != nil:
			return nil, etcdError(ctx, err)
		case len(resp.Kvs) == 0: // another replica was faster
			return nil, nil
		}
		ch := &change{compares: []clientv3.Cmp{exists(key, rev), absent(s.space.org(d.OrgID))}, event: d.act().event(d.OrgID, audit.OrganizationPurge)}
		ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "organization", d.OrgID, d.Slug
		ch.ops = []clientv3.Op{clientv3.OpDelete(key)}
		for _, r := range s.space.contentRanges(d.OrgID) { // nothing, unless a write was on its way before the tombstone
			ch.ops = append(ch.ops, clientv3.OpDelete(r.from, clientv3.WithRange(r.to)))
		}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("finishing deletion: %w", err)
	}
	return nil
}

// keyRange is the keys from one to before another.
type keyRange struct{ from, to string }

// contentRanges are all keys of an organization but its own record, its audit chain and its leases, which end by themselves. The last range is its providers.
func (k keyspace) contentRanges(org string) []keyRange {
	prefix := func(p string) keyRange { return keyRange{p, clientv3.GetPrefixRangeEnd(p)} }
	inside, versions := prefix(k.org(org)+"/"), prefix(k.under(org, "versions"))
	names, providers := prefix(k.under(org, "providernames")), prefix(k.under(org, "providers"))
	return []keyRange{
		versions,
		{inside.from, names.from}, {providers.to, inside.to}, // whatever kinds there are
		prefix(k.activity(org)), prefix(k.lastGoods(org)), prefix(k.grants(org)),
		{names.from, providers.to},
	}
}

// deleteRange removes keys batch by batch, as long as the tombstone stands and there is no such organization.
func (s *Store) deleteRange(ctx context.Context, d deletion, rev int64, r keyRange) error {
	for {
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		resp, err := s.client.Get(limited, r.from, clientv3.WithRange(r.to), clientv3.WithLimit(deletionBatch), clientv3.WithKeysOnly())
		cancel()
		if err != nil {
			return fmt.Errorf("reading what is left: %w", etcdError(ctx, err))
		}
		if len(resp.Kvs) == 0 {
			return nil
		}
		until := string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
		limited, cancel = context.WithTimeout(ctx, writeTimeout)
		done, err := s.client.Txn(limited).
			If(exists(s.space.deletion(d.OrgID), rev), absent(s.space.org(d.OrgID))).
			Then(clientv3.OpDelete(r.from, clientv3.WithRange(until))).
			Commit()
		cancel()
		if err != nil {
			return fmt.Errorf("removing what is left: %w", etcdError(ctx, err))
		}
		if !done.Succeeded || !resp.More {
			return nil // another replica has finished it, or nothing is left
		}
	}
}

// endLeases marks the leases of a deleted organization to be revoked, and returns how many are not yet. A record that does not verify can be revoked by nobody and is removed.
func (s *Store) endLeases(ctx context.Context, d deletion) (left int, err error) {
	err = s.walkKeys(ctx, s.space.leasesOf(d.OrgID), func(key string, value []byte, rev int64) error {
		l, err := s.openLeaseRecord(key, value, rev)
		switch {
		case errors.Is(err, ErrIntegrity):
			s.counters.integrity.Add(1)
			s.log.Error("lease record does not verify", "key", key, "err", err)
			limited, cancel := context.WithTimeout(ctx, writeTimeout)
			defer cancel()
			_, err := s.client.Txn(limited).If(exists(key, rev)).Then(clientv3.OpDelete(key)).Commit()
			return etcdError(ctx, err)
		case err != nil:
			return err
		case l.State == LeaseAbandoned:
			return nil
		case l.State == LeaseActive:
			if err := s.EndLease(ctx, d.act(), l.OrgID, l.ID, ReasonOrganizationDeleted); err != nil {
				return err
			}
		}
		left++
		return nil
	})
	return left, err
}
