// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// PutVersion stores value, byte for byte, as the next version of a local secret, and makes it the active one if activate is set. If value equals the active
// version nothing is written and that version is returned. Putting and activating a version on a remote secret makes it local in the same transaction.
// The caller keeps the value and may wipe it afterwards.
func (s *Store) PutVersion(ctx context.Context, act Act, orgID, id string, expect int64, value redact.Value, activate bool) (Secret, Version, error) {
	if err := checkValue(value); err != nil {
		return Secret{}, Version{}, err
	}
	var v Version
	secret, err := s.mutateSecret(ctx, act, orgID, id, expect, false, func(m *image, secret *Secret) (*change, error) {
		if secret.Storage == StorageRemote && !activate {
			return nil, &FieldError{"/activate", "remote", "a remote secret has no staged versions; activate the value to make the secret local"}
		}
		var ch *change
		var err error
		ch, v, err = s.addVersion(m, act, secret, value, activate, nil)
		return ch, err
	}, &v)
	if err != nil {
		return Secret{}, Version{}, fmt.Errorf("putting version: %w", err)
	}
	return secret, v, nil
}

// addVersion makes value the next version of a secret, in addition to what ch changes, which may be nil. If value equals that of the active version it adds
// nothing.
func (s *Store) addVersion(m *image, act Act, secret *Secret, value redact.Value, activate bool, ch *change) (*change, Version, error) {
	if active, same := s.equalsActive(m, secret, value); same {
		return ch, active, nil
	}
	secret.LastVersion++
	v := newVersion(act, secret.LastVersion, value)
	if ch == nil {
		ch = s.secretChange(act, audit.SecretPut, *secret, secret.Revision)
	}
	ch.event.Action, ch.event.Version = audit.SecretPut, v.Number
	if activate {
		ch.event.Changed = append(ch.event.Changed, "active_version")
		if secret.Storage == StorageRemote {
			ch.event.Changed = append(ch.event.Changed, "storage", "remote")
		}
		secret.ActiveVersion, secret.Storage, secret.Remote = v.Number, StorageLocal, nil
	}
	secret.update(act)
	ch.compares = append(ch.compares, absent(s.space.version(secret.OrgID, secret.ID, v.Number)))
	return ch, v, s.putVersion(ch, *secret, v, value)
}

func newVersion(act Act, number uint64, value redact.Value) Version {
	v := Version{Number: number, CreatedAt: now(), CreatedBy: act.Actor}
	// The name is not known here; the longest possible one is assumed, so that a value near the limit is not promised to fit.
	if err := envfile.Check(longestName, value.Reveal()); err != nil {
		_, v.NoEnvfile, _ = strings.Cut(err.Error(), envfile.ErrUnrepresentable.Error()+": ")
	}
	if err := execfile.Check(longestName, value.Reveal()); err != nil {
		_, v.NoExec, _ = strings.Cut(err.Error(), execfile.ErrUnrepresentable.Error()+": ")
	}
	return v
}

// putVersion adds the write of a version to a change.
func (s *Store) putVersion(ch *change, secret Secret, v Version, value redact.Value) error {
	key := s.space.version(secret.OrgID, secret.ID, v.Number)
	sealed, err := s.keys.Seal(envelope.Context{Org: secret.OrgID, Secret: secret.ID, Version: v.Number, Key: key}, value.Reveal())
	if err != nil {
		return fmt.Errorf("sealing value: %w", err)
	}
	record, err := sealWith(s.keys, key, kindVersion, v, sealed)
	ch.ops = append(ch.ops, clientv3.OpPut(key, record))
	ch.adds = ch.adds.plus(Quota{Versions: 1, Bytes: int64(len(sealed))})
	return err
}

// equalsActive reports whether value is that of the active version. An active version that does not open equals nothing, so that it can be replaced.
func (s *Store) equalsActive(m *image, secret *Secret, value redact.Value) (Version, bool) {
	if secret.Storage != StorageLocal || secret.ActiveVersion == 0 {
		return Version{}, false
	}
	active, err := m.version(s.space, secret.OrgID, secret.ID, secret.ActiveVersion)
	if err != nil {
		return Version{}, false
	}
	have, err := s.openVersion(m, secret.OrgID, secret.ID, secret.ActiveVersion)
	if err != nil {
		return Version{}, false
	}
	defer have.Wipe()
	return active.Version, bytes.Equal(have.Reveal(), value.Reveal())
}

// openVersion decrypts a version. It returns ErrNotFound for one that does not exist or was destroyed, ErrIntegrity or ErrKey. The caller wipes the value.
func (s *Store) openVersion(m *image, orgID, secretID string, number uint64) (redact.Value, error) {
	v, err := m.version(s.space, orgID, secretID, number)
	if err != nil {
		return redact.Value{}, fmt.Errorf("version %d: %w", number, err)
	}
	if v.DestroyedAt != nil {
		return redact.Value{}, fmt.Errorf("version %d: %w: it was destroyed", number, ErrNotFound)
	}
	key := s.space.version(orgID, secretID, number)
	plain, err := s.keys.Open(envelope.Context{Org: orgID, Secret: secretID, Version: number, Key: key}, v.sealed)
	if err != nil {
		return redact.Value{}, fmt.Errorf("opening version %d: %w", number, keyError(err))
	}
	return redact.New(plain), nil
}

// ActivateVersion makes an existing version the one that resolves, to roll back or to roll out a staged one.
func (s *Store) ActivateVersion(ctx context.Context, act Act, orgID, id string, expect int64, number uint64) (Secret, error) {
	secret, err := s.mutateSecret(ctx, act, orgID, id, expect, false, func(m *image, secret *Secret) (*change, error) {
		if secret.Storage != StorageLocal {
			return nil, &FieldError{"/version", "remote", "a remote secret has no active version"}
		}
		v, err := m.version(s.space, orgID, id, number)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && v.DestroyedAt != nil:
			return nil, &FieldError{"/version", "unknown", fmt.Sprintf("version %d does not exist or was destroyed", number)}
		case err != nil:
			return nil, err
		case secret.ActiveVersion == number:
			return nil, nil
		}
		secret.ActiveVersion = number
		secret.update(act)
		ch := s.secretChange(act, audit.SecretActivate, *secret, secret.Revision)
		ch.event.Version, ch.event.Changed = number, []string{"active_version"}
		ch.compares = append(ch.compares, exists(s.space.version(orgID, id, number), v.rev))
		return ch, nil
	})
	if err != nil {
		return Secret{}, fmt.Errorf("activating version: %w", err)
	}
	return secret, nil
}

// DestroyVersion removes a version's value for good: its envelope holds the only copy of its key. The number stays claimed. The active version is refused
// with a [FieldError], one that a consumer has pinned with a [ReferencedError]. etcd forgets the envelope when it compacts its history.
func (s *Store) DestroyVersion(ctx context.Context, act Act, orgID, id string, expect int64, number uint64) (Version, error) {
	var destroyed Version
	_, err := s.mutateSecret(ctx, act, orgID, id, expect, false, func(m *image, secret *Secret) (*change, error) {
		if secret.ActiveVersion == number {
			return nil, &FieldError{"/version", "active", "the active version cannot be destroyed; activate another one first"}
		}
		key := s.space.version(orgID, id, number)
		// One that does not verify can be destroyed too: that is how an operator gets rid of it.
		rev, ok := m.revision(key, address{kind: kindVersion, org: orgID, id: id, number: number})
		if !ok {
			return nil, fmt.Errorf("version %d: %w", number, ErrNotFound)
		}
		if v, err := m.version(s.space, orgID, id, number); err == nil {
			destroyed = v.Version
		} else {
			destroyed = Version{Number: number}
		}
		if destroyed.DestroyedAt != nil {
			return nil, nil
		}
		if refs := m.pins(id, number); len(refs) > 0 {
			return nil, &ReferencedError{refs}
		}
		t := now()
		destroyed.DestroyedAt = &t
		record, err := sealWith(s.keys, key, kindVersion, destroyed, nil)
		if err != nil {
			return nil, err
		}
		secret.update(act)
		ch := s.secretChange(act, audit.SecretDestroy, *secret, secret.Revision)
		ch.event.Version = number
		ch.compares = append(ch.compares, exists(key, rev))
		ch.ops = append(ch.ops, clientv3.OpPut(key, record))
		return ch, nil
	}, &destroyed)
	if err != nil {
		return Version{}, fmt.Errorf("destroying version: %w", err)
	}
	return destroyed, nil
}

// pins lists the ENVs that want one version of a secret and no other.
func (m *image) pins(secret string, number uint64) []Reference {
	var refs []Reference
	m.users(secret, func(c *Consumer) bool {
		for _, e := range c.Envs {
			if e.SecretID == secret && e.Version == number {
				refs = append(refs, Reference{Kind: "consumer", ID: c.ID, Name: c.Name, Field: "env " + e.Name})
			}
		}
		return true
	})
	return refs
}
