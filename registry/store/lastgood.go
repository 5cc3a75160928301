// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// How old a last known good value may be.
const (
	MinLastKnownGood = time.Minute
	MaxLastKnownGood = 24 * time.Hour // the longest an access that was taken away at a silent provider can go on
)

// LastGood is what a provider said last of a remote secret: that it has a value, which is kept sealed, or that it has none for us. It is bound to the reference and to
// the state of the provider's record it was read with; a change of either removes it.
type LastGood struct {
	OrgID    string `json:"org_id"`
	SecretID string `json:"secret_id"`
	Remote   Remote `json:"remote"`
	// ProviderRevision is that of the provider's record that the value was read with.
	ProviderRevision int64 `json:"provider_revision"`
	// ReadAt is when the read began: the value is as it was at the provider at some moment after.
	ReadAt time.Time `json:"read_at"`
	// Refused says that the provider gave no value then, on purpose: there is nothing good any more.
	Refused bool `json:"refused,omitempty"`

	// SecretRevision is that of the secret the read was made for. It is checked when this is written, and not kept.
	SecretRevision int64 `json:"-"`
}

// KeepLastGood records what a provider said, for life counted from ReadAt. Value is whatever the caller wants to have back, and is not used of a refusal; the caller keeps it. Nothing is written, and
// no error returned, if something newer is there (a refusal always replaces a value), if the provider or the secret is not as it was, or if life is over. It is no mutation and has no audit event: nobody decided anything.
func (s *Store) KeepLastGood(ctx context.Context, g LastGood, value redact.Value, life time.Duration) error {
	if life -= time.Since(g.ReadAt); life <= 0 {
		return nil
	}
	if err := s.keepLastGood(ctx, g, value, life); err != nil {
		return fmt.Errorf("keeping last known good value: %w", err)
	}
	return nil
}

func (s *Store) keepLastGood(ctx context.Context, g LastGood, value redact.Value, life time.Duration) error {
	key := s.space.lastGood(g.OrgID, g.Remote.ProviderID, g.SecretID)
	var sealed []byte
	if !g.Refused {
		var err error
		if sealed, err = s.keys.Seal(s.lastGoodContext(g), value.Reveal()); err != nil {
			return fmt.Errorf("sealing: %w", err)
		}
	}
	lease, err := s.grant(ctx, life)
	if err != nil {
		return err
	}
	unused := lease
	defer func() { s.revokeUnused(ctx, unused) }()
	for range attempts {
		have, rev, had, err := s.readLastGood(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrIntegrity) {
			return err
		}
		if err == nil && have.ProviderRevision == g.ProviderRevision && have.Remote == g.Remote && !have.ReadAt.Before(g.ReadAt) {
			if !g.Refused {
				return nil
			}
			g.ReadAt = have.ReadAt // clocks of replicas differ, and a refusal is never older than what it ends
		}
		record, err := sealWith(s.keys, key, kindLastGood, g, sealed)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		resp, err := s.client.Txn(limited).
			If(exists(key, rev), exists(s.space.provider(g.OrgID, g.Remote.ProviderID), g.ProviderRevision), exists(s.space.secret(g.OrgID, g.SecretID), g.SecretRevision)).
			Then(clientv3.OpPut(key, record, clientv3.WithLease(lease))).
			Else(clientv3.OpGet(key, clientv3.WithKeysOnly())).
			Commit()
		cancel()
		if err != nil {
			return etcdError(ctx, err)
		}
		if resp.Succeeded {
			unused = had // nothing hangs on the lease of what was replaced
			return nil
		}
		if now := resp.Responses[0].GetResponseRange().Kvs; (len(now) == 0) == (rev == 0) && (rev == 0 || now[0].ModRevision == rev) {
			return nil // it is the provider or the secret that changed
		}
	}
	return errContention
}

// revokeUnused ends a lease without keys, which would otherwise be kept until its time is over. Nobody waits for that it is done.
func (s *Store) revokeUnused(ctx context.Context, lease clientv3.LeaseID) {
	if lease == clientv3.NoLease {
		return
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, _ = s.client.Revoke(limited, lease)
}

// LastGood returns what a provider said last of a secret, and what was given to [Store.KeepLastGood] with it; the caller wipes that. Whether it is still of use is the caller's to decide. It returns
// [ErrNotFound], [ErrIntegrity], [ErrKey] or [ErrUnavailable].
func (s *Store) LastGood(ctx context.Context, orgID, providerID, secretID string) (LastGood, redact.Value, error) {
	key := s.space.lastGood(orgID, providerID, secretID)
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, key)
	switch {
	case err != nil:
		return LastGood{}, redact.Value{}, fmt.Errorf("reading last known good value: %w", etcdError(ctx, err))
	case len(resp.Kvs) == 0:
		return LastGood{}, redact.Value{}, fmt.Errorf("reading last known good value: %w", ErrNotFound)
	}
	g, sealed, err := s.openLastGood(key, resp.Kvs[0].Value)
	if err == nil && (g.OrgID != orgID || g.Remote.ProviderID != providerID || g.SecretID != secretID) {
		err = fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	var value redact.Value
	if err == nil && !g.Refused {
		var plain []byte
		if plain, err = s.keys.Open(s.lastGoodContext(g), sealed); err != nil {
			err = keyError(err)
		}
		value = redact.New(plain)
	}
	if err != nil {
		if errors.Is(err, ErrIntegrity) {
			s.counters.integrity.Add(1)
			s.log.Error("record does not verify", "key", key, "err", err)
		}
		return LastGood{}, redact.Value{}, fmt.Errorf("opening last known good value: %w", err)
	}
	return g, value, nil
}

// readLastGood returns what is there without its value, and the etcd lease it hangs on.
func (s *Store) readLastGood(ctx context.Context, key string) (g LastGood, rev int64, lease clientv3.LeaseID, err error) {
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, key)
	switch {
	case err != nil:
		return LastGood{}, 0, 0, etcdError(ctx, err)
	case len(resp.Kvs) == 0:
		return LastGood{}, 0, 0, ErrNotFound
	}
	kv := resp.Kvs[0]
	g, _, err = s.openLastGood(key, kv.Value)
	return g, kv.ModRevision, clientv3.LeaseID(kv.Lease), err
}

func (s *Store) openLastGood(key string, record []byte) (g LastGood, sealed []byte, err error) {
	sealed, err = unsealWith(s.keys, key, kindLastGood, record, &g)
	return g, sealed, err
}

// lastGoodContext binds an envelope to the secret, its provider (both are in the key) and the state of the provider's record.
func (s *Store) lastGoodContext(g LastGood) envelope.Context {
	return envelope.Context{Org: g.OrgID, Secret: g.SecretID, Version: uint64(g.ProviderRevision), Key: s.space.lastGood(g.OrgID, g.Remote.ProviderID, g.SecretID)}
}

// dropLastGood removes what a provider said of a secret whose reference is about to change.
func (s *Store) dropLastGood(of Secret) []clientv3.Op {
	if of.Remote == nil {
		return nil
	}
	return []clientv3.Op{clientv3.OpDelete(s.space.lastGood(of.OrgID, of.Remote.ProviderID, of.ID))}
}

// dropLastGoodOf removes what a provider said of all secrets: with its record, what it may be asked and by whom changes.
func (s *Store) dropLastGoodOf(orgID, providerID string) clientv3.Op {
	return clientv3.OpDelete(s.space.lastGoodOf(orgID, providerID), clientv3.WithPrefix())
}
