// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// DefaultDeletedRetention is how long a deleted secret can be undeleted.
const DefaultDeletedRetention = 30 * 24 * time.Hour

// sweepEvery is the pause between two sweeps of the installation, whichever replicas make them.
const sweepEvery = 10 * time.Minute

// reminders are how long before a secret expires the audit log says so, once each.
var reminders = []time.Duration{0, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// sweeper is who does what time demands.
var sweeper = Act{Actor: "system:retention"}

// sweep does what time demands, unless a replica did less than [sweepEvery] ago: it purges secrets that were deleted long enough, destroys superseded versions
// beyond those that are kept, and notes in the audit log which secrets expire. Each is a mutation of its own, decided on what is there then: a sweep that is
// cut short, or that two replicas make at once, loses and repeats nothing.
func (s *Store) sweep(ctx context.Context) {
	at := now()
	first, err := s.claimSweep(ctx, at)
	if err == nil && first {
		err = s.sweepAt(ctx, at)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("sweep not finished", "err", err)
	}
}

// claimSweep reports whether this replica is to sweep now.
func (s *Store) claimSweep(ctx context.Context, at time.Time) (bool, error) {
	if err := s.keyErr(); err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	key := s.space.sweep()
	resp, err := s.client.Get(limited, key)
	if err != nil {
		return false, fmt.Errorf("reading last sweep: %w", etcdError(ctx, err))
	}
	rev := int64(0)
	if len(resp.Kvs) > 0 {
		rev = resp.Kvs[0].ModRevision
		var last time.Time
		if err := unseal(s.keys, key, kindSweep, resp.Kvs[0].Value, &last); err == nil && at.Sub(last) < sweepEvery && !last.After(at) {
			return false, nil
		}
	}
	record, err := seal(s.keys, key, kindSweep, at)
	if err != nil {
		return false, err
	}
	claimed, err := s.client.Txn(limited).If(exists(key, rev)).Then(clientv3.OpPut(key, record)).Commit()
	if err != nil {
		return false, fmt.Errorf("claiming sweep: %w", etcdError(ctx, err))
	}
	return claimed.Succeeded, nil
}

func (s *Store) sweepAt(ctx context.Context, at time.Time) error {
	m, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	type reminded struct {
		secret *Secret
		within time.Duration
	}
	var purge []*Secret
	var expiring []reminded
	superseded := make(map[*Secret][]uint64)
	m.secrets.Ascend(func(secret *Secret) bool {
		if _, err := m.org(s.space, secret.OrgID); err != nil {
			return true // it is being removed with its organization
		}
		switch {
		case s.due(m, secret, at):
			purge = append(purge, secret)
		case secret.DeletedAt == nil:
			if versions := s.superseded(m, secret); len(versions) > 0 {
				superseded[secret] = versions
			}
			if within, ok := reminder(secret, at); ok {
				expiring = append(expiring, reminded{secret, within})
			}
		}
		return true
	})
	for _, secret := range purge {
		if err := s.purge(ctx, secret.OrgID, secret.ID, at); err != nil {
			return err
		}
	}
	for secret, versions := range superseded {
		for _, number := range versions {
			if _, err := s.DestroyVersion(ctx, sweeper, secret.OrgID, secret.ID, 0, number); err != nil {
				s.log.Info("superseded version kept", "secret_id", secret.ID, "version", number, "err", err) // pinned or gone meanwhile
			}
		}
	}
	for _, r := range expiring {
		if err := s.remind(ctx, r.secret, r.within); err != nil {
			return err
		}
	}
	return nil
}

// due reports whether a secret is to be purged: it was deleted long enough ago, and nothing refers to it that would come back with it.
func (s *Store) due(m *image, secret *Secret, at time.Time) bool {
	return secret.DeletedAt != nil && s.config.DeletedRetention > 0 && !at.Before(secret.DeletedAt.Add(s.config.DeletedRetention)) && len(m.references(secret.ID)) == 0
}

// purge removes a deleted secret, its name and all its versions for good.
func (s *Store) purge(ctx context.Context, orgID, id string, at time.Time) error {
	_, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		secret, ok := m.secrets.Get(&Secret{OrgID: orgID, Meta: Meta{ID: id}})
		if !ok || !s.due(m, secret, at) {
			return nil, nil
		}
		ch := s.secretChange(sweeper, audit.SecretPurge, *secret, secret.Revision)
		ch.ops = []clientv3.Op{
			clientv3.OpDelete(s.space.secret(orgID, id)),
			clientv3.OpDelete(s.space.under(orgID, "versions")+id+"/", clientv3.WithPrefix()),
			clientv3.OpDelete(s.space.reminder(orgID, id)),
		}
		if named, err := m.secretByName(s.space, orgID, secret.Name); err == nil && named.ID == id {
			ch.ops = append(ch.ops, clientv3.OpDelete(s.space.secretName(orgID, secret.Name)))
		}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("purging secret: %w", err)
	}
	return nil
}

// superseded lists the versions of a local secret that an active one has replaced, beyond those that are kept and without those somebody has pinned.
func (s *Store) superseded(m *image, secret *Secret) []uint64 {
	keep := s.config.KeptVersions
	if keep == 0 || secret.Storage != StorageLocal || secret.ActiveVersion <= uint64(keep) {
		return nil
	}
	var old []uint64
	m.versions.DescendLessOrEqual(&sealedVersion{secret: secret.ID, Version: Version{Number: secret.ActiveVersion - 1}}, func(v *sealedVersion) bool {
		if v.secret != secret.ID {
			return false
		}
		if v.DestroyedAt == nil && len(m.pins(secret.ID, v.Number)) == 0 {
			if keep--; keep < 0 {
				old = append(old, v.Number)
			}
		}
		return true
	})
	return old
}

// reminder returns the shortest of [reminders] that a secret is within.
func reminder(secret *Secret, at time.Time) (time.Duration, bool) {
	if secret.ExpiresAt == nil {
		return 0, false
	}
	for _, within := range reminders {
		if secret.ExpiresAt.Sub(at) <= within {
			return within, true
		}
	}
	return 0, false
}

// reminded is the record of the last reminder of a secret. It stands beside the secret, so that a reminder changes neither its ETag nor what is watched.
type reminded struct {
	ExpiresAt time.Time     `json:"expires_at"`
	Within    time.Duration `json:"within"`
}

// remind notes in the audit log that a secret expires, unless that was noted already of this time of expiry, and for as short a time before it.
func (s *Store) remind(ctx context.Context, secret *Secret, within time.Duration) error {
	key := s.space.reminder(secret.OrgID, secret.ID)
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, key)
	if err != nil {
		return fmt.Errorf("reading reminder: %w", etcdError(ctx, err))
	}
	rev := int64(0)
	if len(resp.Kvs) > 0 {
		rev = resp.Kvs[0].ModRevision
		var last reminded
		if err := unseal(s.keys, key, kindReminder, resp.Kvs[0].Value, &last); err == nil && last.ExpiresAt.Equal(*secret.ExpiresAt) && last.Within <= within {
			return nil
		}
	}
	expires, id := *secret.ExpiresAt, secret.ID
	_, err = s.mutate(ctx, secret.OrgID, func(m *image) (*change, error) {
		now, ok := m.secrets.Get(&Secret{OrgID: secret.OrgID, Meta: Meta{ID: id}})
		if !ok || now.DeletedAt != nil || now.ExpiresAt == nil || !now.ExpiresAt.Equal(expires) {
			return nil, nil
		}
		action := audit.SecretExpiring
		if within == 0 {
			action = audit.SecretExpired
		}
		ch := s.secretChange(sweeper, action, *now, now.Revision)
		ch.compares = append(ch.compares, exists(key, rev))
		return ch, s.puts(ch, record{key, kindReminder, reminded{expires, within}})
	})
	if err != nil {
		return fmt.Errorf("noting expiry: %w", err)
	}
	return nil
}

// SecretStates counts the secrets of the installation, as this replica knows them: "active", "expiring" within 30 days, "expired" and "deleted".
func (s *Store) SecretStates() map[string]int {
	at := now()
	counts := map[string]int{"active": 0, "expiring": 0, "expired": 0, "deleted": 0}
	s.image().secrets.Ascend(func(secret *Secret) bool {
		within, soon := reminder(secret, at)
		switch {
		case secret.DeletedAt != nil:
			counts["deleted"]++
		case !soon:
			counts["active"]++
		case within == 0:
			counts["expired"]++
		default:
			counts["expiring"]++
		}
		return true
	})
	return counts
}

// PurgeAt says when a deleted secret will be purged at the earliest; nil for one that is not deleted, or is kept for ever.
func (s *Store) PurgeAt(secret Secret) *time.Time {
	if secret.DeletedAt == nil || s.config.DeletedRetention <= 0 {
		return nil
	}
	at := secret.DeletedAt.Add(s.config.DeletedRetention)
	return &at
}
