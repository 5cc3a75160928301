// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Lease is credentials that a provider made for one pod alone. The values are not kept; what renews and revokes them is, sealed: see [Store.OpenLease].
type Lease struct {
	ID         string   `json:"id"` // UUIDv7
	OrgID      string   `json:"org_id"`
	ProviderID string   `json:"provider_id"`
	Provider   string   `json:"provider"` // its name when the lease was granted, for people
	Path       string   `json:"path"`
	Pod        LeasePod `json:"pod"`
	// Containers are those of the pod that may use it; empty if that is not known.
	Containers []string `json:"containers,omitempty"`
	// Since, if it is not 0, says that the containers hold nothing of an answer given before that revision: a lease that was recorded up to it for them alone is used by nobody.
	Since int64 `json:"since,omitempty"`
	// State is LeaseActive until somebody decided that the lease ends; Reason says why it does.
	State  LeaseState `json:"state"`
	Reason string     `json:"reason,omitempty"`

	GrantedAt time.Time     `json:"granted_at"`
	RenewedAt time.Time     `json:"renewed_at"` // GrantedAt until it was renewed
	ExpiresAt time.Time     `json:"expires_at"` // when the provider takes it back by itself
	Life      time.Duration `json:"life"`       // that it was granted for, and that renewals ask for
	Renewable bool          `json:"renewable,omitempty"`

	Revision int64 `json:"-"`
	Created  int64 `json:"-"` // the revision it was recorded at; 0 where that is not known
	sealed   []byte
}

// LeasePod is the pod a lease was granted to.
type LeasePod struct {
	Cluster        string `json:"cluster"`
	Namespace      string `json:"namespace"`
	Name           string `json:"name"`
	UID            string `json:"uid"`
	ServiceAccount string `json:"service_account"`
	Node           string `json:"node,omitempty"`
}

// LeaseState says what becomes of a lease.
type LeaseState string

// The states.
const (
	LeaseActive LeaseState = "active" // it is renewed
	LeaseEnding LeaseState = "ending" // it is to be revoked, and never renewed again
	// LeaseAbandoned says that nobody can be asked about it any more. Its record stays until it has ended by itself.
	LeaseAbandoned LeaseState = "abandoned"
)

// GrantLease records a lease before its values leave, with its audit event. handle is what renews and revokes it; the caller keeps it. It returns [ErrNotFound] if the provider is
// gone.
func (s *Store) GrantLease(ctx context.Context, act Act, l Lease, handle redact.Value) (Lease, error) {
	l.ID, l.State = newID(), LeaseActive
	key := s.space.lease(l.OrgID, l.ID)
	rev, err := s.mutate(ctx, l.OrgID, func(m *image) (*change, error) {
		if _, err := m.provider(s.space, l.OrgID, l.ProviderID); err != nil {
			return nil, fmt.Errorf("provider: %w", err)
		}
		ch := &change{compares: []clientv3.Cmp{absent(key)}, event: act.leaseEvent(l, audit.LeaseGrant)}
		return ch, s.putLease(ch, &l, handle.Reveal())
	})
	if err != nil {
		return Lease{}, fmt.Errorf("recording lease: %w", err)
	}
	l.Revision, l.Created = rev, rev
	return l, nil
}

// EndLease decides that a lease is revoked, with the audit event of the revocation. It changes nothing if that was decided before, or if the lease is gone.
func (s *Store) EndLease(ctx context.Context, act Act, orgID, id, reason string) error {
	if err := s.turnLease(ctx, act, orgID, id, LeaseEnding, audit.LeaseRevoke, reason); err != nil {
		return fmt.Errorf("ending lease: %w", err)
	}
	return nil
}

// AbandonLease decides that nothing is done about a lease any more, with its audit event. It changes nothing if that was decided before, or if the lease is gone.
func (s *Store) AbandonLease(ctx context.Context, act Act, orgID, id, reason string) error {
	if err := s.turnLease(ctx, act, orgID, id, LeaseAbandoned, audit.LeaseAbandon, reason); err != nil {
		return fmt.Errorf("abandoning lease: %w", err)
	}
	return nil
}

// turnLease moves a lease on, once: from active to ending, and from both to abandoned. Its organization may be deleted.
func (s *Store) turnLease(ctx context.Context, act Act, orgID, id string, to LeaseState, action audit.Action, reason string) error {
	_, err := s.mutateChain(ctx, Act{}, orgID, func(*image) (*change, error) {
		l, err := s.lease(ctx, orgID, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil, nil
		case err != nil:
			return nil, err
		case l.State == to, l.State == LeaseAbandoned:
			return nil, nil
		}
		handle, err := s.OpenLease(l)
		if err != nil {
			return nil, err
		}
		defer handle.Wipe()
		l.State, l.Reason = to, reason
		ch := &change{compares: []clientv3.Cmp{exists(s.space.lease(orgID, id), l.Revision)}, event: act.leaseEvent(l, action)}
		ch.event.Reason = reason
		return ch, s.putLease(ch, &l, handle.Reveal())
	})
	return err
}

// RenewedLease records that a lease was extended. Its envelope is sealed anew, with the primary key. It returns [ErrConflict] if the lease is not as it was any more.
func (s *Store) RenewedLease(ctx context.Context, l Lease) (Lease, error) {
	handle, err := s.OpenLease(l)
	if err != nil {
		return Lease{}, fmt.Errorf("renewing lease: %w", err)
	}
	defer handle.Wipe()
	ch := &change{}
	before := l.Revision
	if err := s.putLease(ch, &l, handle.Reveal()); err != nil {
		return Lease{}, fmt.Errorf("renewing lease: %w", err)
	}
	rev, err := s.swapLease(ctx, l, before, ch.ops)
	l.Revision = rev
	return l, err
}

// RemoveLease forgets a lease that was revoked or has expired. It returns [ErrConflict] if the lease is not as it was any more.
func (s *Store) RemoveLease(ctx context.Context, l Lease) error {
	_, err := s.swapLease(ctx, l, l.Revision, []clientv3.Op{clientv3.OpDelete(s.space.lease(l.OrgID, l.ID))})
	return err
}

func (s *Store) swapLease(ctx context.Context, l Lease, rev int64, ops []clientv3.Op) (int64, error) {
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resp, err := s.client.Txn(limited).If(exists(s.space.lease(l.OrgID, l.ID), rev)).Then(ops...).Commit()
	switch {
	case err != nil:
		return 0, fmt.Errorf("writing lease: %w", etcdError(ctx, err))
	case !resp.Succeeded:
		return 0, fmt.Errorf("writing lease: %w", ErrConflict)
	}
	return resp.Header.Revision, nil
}

// OpenLease decrypts what renews and revokes a lease. It returns [ErrIntegrity] or [ErrKey]. The caller wipes it.
func (s *Store) OpenLease(l Lease) (redact.Value, error) {
	plain, err := s.keys.Open(s.leaseContext(l), l.sealed)
	if err != nil {
		return redact.Value{}, fmt.Errorf("opening lease: %w", keyError(err))
	}
	return redact.New(plain), nil
}

func (s *Store) leaseContext(l Lease) envelope.Context {
	return envelope.Context{Org: l.OrgID, Secret: l.ID, Version: 1, Key: s.space.lease(l.OrgID, l.ID)}
}

// putLease adds the write of a lease, and notes its envelope.
func (s *Store) putLease(ch *change, l *Lease, handle []byte) error {
	sealed, err := s.keys.Seal(s.leaseContext(*l), handle)
	if err != nil {
		return fmt.Errorf("sealing lease: %w", err)
	}
	key := s.space.lease(l.OrgID, l.ID)
	record, err := sealWith(s.keys, key, kindLease, l, sealed)
	l.sealed = sealed
	ch.ops = append(ch.ops, clientv3.OpPut(key, record))
	return err
}

func (s *Store) lease(ctx context.Context, orgID, id string) (Lease, error) {
	key := s.space.lease(orgID, id)
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, key)
	switch {
	case err != nil:
		return Lease{}, fmt.Errorf("reading lease: %w", etcdError(ctx, err))
	case len(resp.Kvs) == 0:
		return Lease{}, fmt.Errorf("reading lease: %w", ErrNotFound)
	}
	return s.openLeaseRecord(key, resp.Kvs[0].Value, resp.Kvs[0].ModRevision)
}

// openLeaseRecord verifies a record and that it is the one of its key.
func (s *Store) openLeaseRecord(key string, record []byte, rev int64) (Lease, error) {
	l := Lease{}
	sealed, err := unsealWith(s.keys, key, kindLease, record, &l)
	if err != nil {
		return Lease{}, err
	}
	if s.space.lease(l.OrgID, l.ID) != key {
		return Lease{}, fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	l.Revision, l.sealed = rev, bytes.Clone(sealed)
	return l, nil
}

func (a Act) leaseEvent(l Lease, action audit.Action) audit.Event {
	e := a.event(l.OrgID, action)
	e.ResourceKind, e.ResourceID, e.ResourceName = "lease", l.ID, l.Provider+":"+l.Path
	e.Workload = &audit.Workload{Cluster: l.Pod.Cluster, Namespace: l.Pod.Namespace, ServiceAccount: l.Pod.ServiceAccount, Pod: l.Pod.Name, PodUID: l.Pod.UID, Node: l.Pod.Node}
	return e
}

// LeaseChange is a lease as it is now, or one that is gone.
type LeaseChange struct {
	Lease
	Gone bool // only OrgID and ID are set
}

// FollowLeases calls yield with every lease there is, then once with the zero LeaseChange, and then with what changes, until ctx ends or etcd's watch does, for which it returns an error. Records
// that do not verify are logged and left out.
func (s *Store) FollowLeases(ctx context.Context, yield func(LeaseChange)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const page = 512
	leases := s.space.leases()
	rev, err := s.walk(ctx, "leases", leases, clientv3.GetPrefixRangeEnd(leases), page, func(kv keyValue) error {
		s.yieldLease(kv, false, yield)
		return nil
	})
	if err != nil {
		return err
	}
	yield(LeaseChange{})
	for resp := range s.client.Watch(clientv3.WithRequireLeader(ctx), leases, clientv3.WithPrefix(), clientv3.WithRev(rev+1)) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("following leases: %w", etcdError(ctx, err))
		}
		for _, e := range resp.Events {
			s.yieldLease(keyValueOf(e.Kv), e.Type == clientv3.EventTypeDelete, yield)
		}
	}
	return fmt.Errorf("following leases: %w", etcdError(ctx, errEnded))
}

// yieldLease yields a key as it is now, or that it is gone.
func (s *Store) yieldLease(kv keyValue, gone bool, yield func(LeaseChange)) {
	key := kv.key
	if gone {
		org, id, ok := strings.Cut(strings.TrimPrefix(key, s.space.leases()), "/")
		if ok {
			yield(LeaseChange{Lease: Lease{OrgID: org, ID: id}, Gone: true})
		}
		return
	}
	l, err := s.openLeaseRecord(key, kv.value, kv.rev)
	if err != nil {
		s.counters.integrity.Add(1)
		s.log.Error("lease record does not verify", "key", key, "err", err)
		return
	}
	l.Created = kv.created
	yield(LeaseChange{Lease: l})
}
