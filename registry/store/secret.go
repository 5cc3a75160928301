// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
)

// CreateSecret creates a secret, of a provider of the same organization if it is remote, and, for a local one with a value, its version 1, which is active. It returns a [FieldError], [ErrExists] or [ErrNotFound]
// for the organization. The caller keeps the value and may wipe it afterwards.
func (s *Store) CreateSecret(ctx context.Context, act Act, orgID string, n NewSecret) (Secret, error) {
	n.Storage = n.storage()
	if err := checkNewSecret(n); err != nil {
		return Secret{}, err
	}
	secret := Secret{
		Meta:        act.meta(),
		OrgID:       orgID,
		Name:        n.Name,
		Description: n.Description,
		Labels:      maps.Clone(n.Labels),
		Storage:     n.Storage,
		Grants:      slices.Clone(n.Grants),
		ExpiresAt:   clonePointer(n.ExpiresAt),
	}
	if n.Value != nil {
		secret.ActiveVersion, secret.LastVersion = 1, 1
	}
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		if _, err := m.secretByName(s.space, orgID, n.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("secret %q: %w", n.Name, taken(err))
		}
		secret.Remote = clonePointer(n.Remote)
		if err := s.resolveRemote(m, orgID, secret.Remote, nil); err != nil {
			return nil, err
		}
		return s.addSecret(act, secret, n.Value)
	}, &secret)
	if err != nil {
		return Secret{}, fmt.Errorf("creating secret: %w", err)
	}
	secret.Revision = rev
	return secret, nil
}

// addSecret makes the change that creates a secret, with a value as its version 1 if there is one.
func (s *Store) addSecret(act Act, secret Secret, value *redact.Value) (*change, error) {
	name := s.space.secretName(secret.OrgID, secret.Name)
	ch := s.secretChange(act, audit.SecretCreate, secret, 0)
	ch.compares = append(ch.compares, absent(name))
	ch.adds.Secrets = 1
	if value != nil {
		if err := s.putVersion(ch, secret, newVersion(act, 1, *value), *value); err != nil {
			return nil, err
		}
		ch.event.Version = 1
	}
	return ch, s.puts(ch, record{s.space.secret(secret.OrgID, secret.ID), kindSecret, secret}, record{name, kindSecretName, secret.ID})
}

// secretChange begins a change of a secret that is now at revision rev, 0 for a new one.
func (s *Store) secretChange(act Act, action audit.Action, secret Secret, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.secret(secret.OrgID, secret.ID), rev)},
		event:    act.event(secret.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "secret", secret.ID, secret.Name
	return ch
}

// mutateSecret changes a secret that is not soft-deleted, unless deleted is true: then only one that is. decide changes secret and returns the change, to
// which the write of the secret is added, or nil. More are pointers to what the mutation returns besides the secret.
func (s *Store) mutateSecret(ctx context.Context, act Act, orgID, id string, expect int64, deleted bool, decide func(*image, *Secret) (*change, error), more ...any) (Secret, error) {
	var secret Secret
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		old, err := m.secret(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		switch {
		case deleted && old.DeletedAt == nil:
			return nil, &FieldError{"", "not_deleted", "the secret is not deleted"}
		case !deleted && old.DeletedAt != nil:
			return nil, fmt.Errorf("%w: secret %q is deleted; undelete it first", ErrNotFound, old.Name)
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		secret = old.clone()
		ch, err := decide(m, &secret)
		if err != nil || ch == nil {
			return nil, err
		}
		return ch, s.puts(ch, record{s.space.secret(orgID, id), kindSecret, secret})
	}, append([]any{&secret}, more...)...)
	if err != nil {
		return Secret{}, err
	}
	secret.settleRevision(rev)
	return secret, nil
}

// UpdateSecret changes name, description, labels, expiry, storage, remote reference and grants; edit's changes of other fields are undone. A secret that becomes
// remote loses its active version but keeps the versions; one that becomes local has no active version until one is put or activated. It returns
// [ErrNotFound], a [ConflictError], a [FieldError], [ErrExists] or edit's error. edit may be called more than once.
func (s *Store) UpdateSecret(ctx context.Context, act Act, orgID, id string, expect int64, edit func(*Secret) error) (Secret, error) {
	secret, err := s.mutateSecret(ctx, act, orgID, id, expect, false, func(m *image, secret *Secret) (*change, error) {
		return s.editSecret(m, act, secret, edit)
	})
	if err != nil {
		return Secret{}, fmt.Errorf("updating secret: %w", err)
	}
	return secret, nil
}

// ReviseSecret is [Store.UpdateSecret] and then, if value is not nil, [Store.PutVersion] with activation, in one transaction: both happen or neither does.
func (s *Store) ReviseSecret(ctx context.Context, act Act, orgID, id string, expect int64, edit func(*Secret) error, value *redact.Value) (Secret, error) {
	if value != nil {
		if err := checkValue(*value); err != nil {
			return Secret{}, err
		}
	}
	secret, err := s.mutateSecret(ctx, act, orgID, id, expect, false, func(m *image, secret *Secret) (*change, error) {
		ch, err := s.editSecret(m, act, secret, edit)
		if err != nil || value == nil {
			return ch, err
		}
		ch, _, err = s.addVersion(m, act, secret, *value, true, ch)
		return ch, err
	})
	if err != nil {
		return Secret{}, fmt.Errorf("revising secret: %w", err)
	}
	return secret, nil
}

// editSecret changes a secret's metadata. It returns nil if nothing differs.
func (s *Store) editSecret(m *image, act Act, secret *Secret, edit func(*Secret) error) (*change, error) {
	old := secret.clone()
	if err := edit(secret); err != nil {
		return nil, err
	}
	secret.Meta, secret.OrgID, secret.DeletedAt = old.Meta, old.OrgID, nil
	secret.ActiveVersion, secret.LastVersion = old.ActiveVersion, old.LastVersion
	if secret.Storage == StorageRemote {
		secret.ActiveVersion = 0
	}
	secret.Remote, secret.Grants = clonePointer(secret.Remote), slices.Clone(secret.Grants) // what the caller put in stays the caller's
	if len(changedFields(old, *secret)) == 0 {
		return nil, nil
	}
	if err := checkSecret(*secret); err != nil {
		return nil, err
	}
	if err := s.resolveRemote(m, secret.OrgID, secret.Remote, old.Remote); err != nil {
		return nil, err
	}
	changed := changedFields(old, *secret)
	if len(changed) == 0 { // the provider was given by its name
		return nil, nil
	}
	secret.update(act)
	ch := s.secretChange(act, audit.SecretUpdate, *secret, old.Revision)
	ch.event.Changed = changed
	if slices.Contains(changed, "remote") {
		ch.ops = append(ch.ops, s.dropLastGood(old)...)
	}
	if secret.Name != old.Name {
		if _, err := m.secretByName(s.space, secret.OrgID, secret.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("secret %q: %w", secret.Name, taken(err))
		}
		name := s.space.secretName(secret.OrgID, secret.Name)
		ch.compares = append(ch.compares, absent(name))
		ch.ops = append(ch.ops, clientv3.OpDelete(s.space.secretName(secret.OrgID, old.Name)))
		return ch, s.puts(ch, record{name, kindSecretName, secret.ID})
	}
	return ch, nil
}

// DeleteSecret soft-deletes a secret: it no longer resolves, its name stays taken, and it can be undeleted. If something refers to it, or a
// running pod received it, a [ReferencedError] lists all of that, unless force is set.
func (s *Store) DeleteSecret(ctx context.Context, act Act, orgID, id string, expect int64, force bool) error {
	for range attempts {
		var held holding
		if !force {
			var err error
			if held, err = s.holding(ctx, orgID, id); err != nil {
				return fmt.Errorf("deleting secret: %w", err)
			}
		}
		err := s.deleteSecret(ctx, act, orgID, id, expect, force, held)
		if !errors.Is(err, errReleased) {
			return err
		}
	}
	return fmt.Errorf("deleting secret: %w: %w", ErrUnavailable, errContention)
}

func (s *Store) deleteSecret(ctx context.Context, act Act, orgID, id string, expect int64, force bool, held holding) error {
	_, err := s.mutateSecret(ctx, act, orgID, id, expect, false, func(m *image, secret *Secret) (*change, error) {
		ch := s.secretChange(act, audit.SecretDelete, *secret, secret.Revision)
		if !force {
			if refs := append(m.references(id), held.by...); len(refs) > 0 {
				return nil, &ReferencedError{refs}
			}
			ch.unreleased, ch.since = id, held.head
		}
		ch.ops = append(ch.ops, s.dropLastGood(*secret)...)
		t := now()
		secret.DeletedAt = &t
		secret.update(act)
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("deleting secret: %w", err)
	}
	return nil
}

// UndeleteSecret makes a soft-deleted secret what it was. The provider of a remote one may have gone meanwhile: then it does not resolve until it has another.
func (s *Store) UndeleteSecret(ctx context.Context, act Act, orgID, id string, expect int64) (Secret, error) {
	secret, err := s.mutateSecret(ctx, act, orgID, id, expect, true, func(_ *image, secret *Secret) (*change, error) {
		secret.DeletedAt = nil
		secret.update(act)
		return s.secretChange(act, audit.SecretUndelete, *secret, secret.Revision), nil
	})
	if err != nil {
		return Secret{}, fmt.Errorf("undeleting secret: %w", err)
	}
	return secret, nil
}

func (n NewSecret) storage() Storage {
	switch {
	case n.Storage != "":
		return n.Storage
	case n.Remote != nil:
		return StorageRemote
	}
	return StorageLocal
}

// clone returns a copy that shares nothing a caller could change.
func (s *Secret) clone() Secret {
	c := *s
	c.Labels, c.Grants = maps.Clone(s.Labels), slices.Clone(s.Grants)
	c.Remote, c.ExpiresAt, c.DeletedAt = clonePointer(s.Remote), clonePointer(s.ExpiresAt), clonePointer(s.DeletedAt)
	return c
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// changedFields names what differs between two states of a secret.
func changedFields(a, b Secret) []string {
	var names []string
	add := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	add("name", a.Name != b.Name)
	add("description", a.Description != b.Description)
	add("labels", !maps.Equal(a.Labels, b.Labels))
	add("storage", a.Storage != b.Storage)
	add("active_version", a.ActiveVersion != b.ActiveVersion)
	add("remote", !equalPointers(a.Remote, b.Remote, func(x, y Remote) bool { return x == y }))
	add("grants", !slices.Equal(a.Grants, b.Grants))
	add("expires_at", !equalPointers(a.ExpiresAt, b.ExpiresAt, time.Time.Equal))
	return names
}

func equalPointers[T any](a, b *T, equal func(T, T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equal(*a, *b)
}
