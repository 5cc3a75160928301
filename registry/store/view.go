// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// View is everything as it was at one moment, at or after the call that made it. It stays as it is while others write; drop it when the request is done.
// Objects it returns are shared: callers must not change what they point to. Values stay encrypted until [View.OpenVersion]. It is safe for concurrent use.
type View struct {
	store *Store
	image *image
}

// View returns a view that holds every write acknowledged before the call. It costs one shared quorum read of etcd, and returns [ErrUnavailable], [ErrKey] or
// the context's error if there is no such view in time.
func (s *Store) View(ctx context.Context) (*View, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return &View{s, m}, nil
}

// Consumer returns a consumer by the slug of its organization and its name; false also if one of their records does not verify, see [View.FindConsumer].
func (v *View) Consumer(orgSlug, name string) (Consumer, bool) {
	c, err := v.FindConsumer(orgSlug, name)
	return c, err == nil
}

// FindConsumer is [View.Consumer] with the reason: [ErrNotFound] or [ErrIntegrity].
func (v *View) FindConsumer(orgSlug, name string) (Consumer, error) {
	o, err := v.image.orgBySlug(v.store.space, orgSlug)
	if err != nil {
		return Consumer{}, err
	}
	c, err := v.image.consumerByName(v.store.space, o.ID, name)
	if err != nil {
		return Consumer{}, err
	}
	return *c, nil
}

// Secret returns a secret by id, but no soft-deleted one; false also if its record does not verify, see [View.FindSecret].
func (v *View) Secret(orgID, id string) (Secret, bool) {
	s, err := v.FindSecret(orgID, id)
	return s, err == nil
}

// FindSecret is [View.Secret] with the reason: [ErrNotFound] or [ErrIntegrity].
func (v *View) FindSecret(orgID, id string) (Secret, error) {
	s, err := v.image.secret(v.store.space, orgID, id)
	switch {
	case err != nil:
		return Secret{}, err
	case s.DeletedAt != nil:
		return Secret{}, ErrNotFound
	}
	return *s, nil
}

// FindSecretByName is [View.FindSecret] by the slug of an organization and the secret's name.
func (v *View) FindSecretByName(orgSlug, name string) (Secret, error) {
	o, err := v.image.orgBySlug(v.store.space, orgSlug)
	if err != nil {
		return Secret{}, err
	}
	s, err := v.image.secretByName(v.store.space, o.ID, name)
	switch {
	case err != nil:
		return Secret{}, err
	case s.DeletedAt != nil:
		return Secret{}, ErrNotFound
	}
	return *s, nil
}

// Version returns the metadata of a version.
func (v *View) Version(orgID, secretID string, number uint64) (Version, bool) {
	sealed, err := v.image.version(v.store.space, orgID, secretID, number)
	if err != nil {
		return Version{}, false
	}
	return sealed.Version, true
}

// FindVersion is [View.Version] with the reason [View.OpenVersion] would give without decrypting: [ErrNotFound], also for a destroyed version, or [ErrIntegrity].
func (v *View) FindVersion(orgID, secretID string, number uint64) (Version, error) {
	sealed, err := v.image.version(v.store.space, orgID, secretID, number)
	switch {
	case err != nil:
		return Version{}, err
	case sealed.DestroyedAt != nil:
		return Version{}, ErrNotFound
	}
	return sealed.Version, nil
}

// ConsumersOf yields the consumers of an organization by name. Those whose records do not verify are left out. What it yields must not be changed.
func (v *View) ConsumersOf(orgID string) iter.Seq[Consumer] {
	return func(yield func(Consumer) bool) {
		v.image.consumerNames.AscendGreaterOrEqual(index{org: orgID}, func(i index) bool {
			if i.org != orgID {
				return false
			}
			c, err := v.image.consumerByName(v.store.space, orgID, i.name)
			return err != nil || yield(*c)
		})
	}
}

// SecretsOf yields the secrets of an organization by name, but no soft-deleted ones and none whose records do not verify. What it yields must not be changed.
func (v *View) SecretsOf(orgID string) iter.Seq[Secret] {
	return func(yield func(Secret) bool) {
		v.image.secretNames.AscendGreaterOrEqual(index{org: orgID}, func(i index) bool {
			if i.org != orgID {
				return false
			}
			s, err := v.image.secretByName(v.store.space, orgID, i.name)
			return err != nil || s.DeletedAt != nil || yield(*s)
		})
	}
}

// OpenVersion decrypts a version, whatever the state of its secret: look at [View.Secret] first. It returns [ErrNotFound], also for a destroyed version,
// [ErrIntegrity] or [ErrKey]. The caller owns the value and should wipe it after use.
func (v *View) OpenVersion(orgID, secretID string, number uint64) (redact.Value, error) {
	return v.store.openVersion(v.image, orgID, secretID, number)
}

// Organization returns an organization by slug or id.
func (s *Store) Organization(ctx context.Context, slugOrID string) (Organization, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Organization{}, err
	}
	o, err := m.org(s.space, slugOrID)
	if errors.Is(err, ErrNotFound) {
		o, err = m.orgBySlug(s.space, slugOrID)
	}
	if err != nil {
		return Organization{}, fmt.Errorf("organization %q: %w", slugOrID, err)
	}
	return *o, nil
}

// Secret returns a secret, also a soft-deleted one, by name or id.
func (s *Store) Secret(ctx context.Context, orgID, nameOrID string) (Secret, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Secret{}, err
	}
	secret, err := m.findSecret(s.space, orgID, nameOrID)
	if err != nil {
		return Secret{}, fmt.Errorf("secret %q: %w", nameOrID, err)
	}
	return secret.clone(), nil
}

func (m *image) findSecret(k keyspace, orgID, nameOrID string) (*Secret, error) {
	secret, err := m.secret(k, orgID, nameOrID)
	if errors.Is(err, ErrNotFound) {
		secret, err = m.secretByName(k, orgID, nameOrID)
	}
	return secret, err
}

// Versions returns the metadata of a secret's versions, the newest first, destroyed ones included. A version whose record does not verify is left out.
func (s *Store) Versions(ctx context.Context, orgID, nameOrID string) ([]Version, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := m.findSecret(s.space, orgID, nameOrID)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", nameOrID, err)
	}
	var versions []Version
	m.versions.DescendLessOrEqual(&sealedVersion{secret: secret.ID, Version: Version{Number: ^uint64(0)}}, func(v *sealedVersion) bool {
		if v.secret == secret.ID {
			versions = append(versions, v.Version)
		}
		return v.secret == secret.ID
	})
	return versions, nil
}

// References lists everything that uses a secret: consumers, and the running pods that received it.
func (s *Store) References(ctx context.Context, orgID, nameOrID string) ([]Reference, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := m.findSecret(s.space, orgID, nameOrID)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", nameOrID, err)
	}
	holders, err := s.holders(ctx, orgID, secret.ID)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", nameOrID, err)
	}
	return append(m.references(secret.ID), holders...), nil
}

// Consumer returns a consumer by name or id.
func (s *Store) Consumer(ctx context.Context, orgID, nameOrID string) (Consumer, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Consumer{}, err
	}
	c, err := m.consumer(s.space, orgID, nameOrID)
	if errors.Is(err, ErrNotFound) {
		c, err = m.consumerByName(s.space, orgID, nameOrID)
	}
	if err != nil {
		return Consumer{}, fmt.Errorf("consumer %q: %w", nameOrID, err)
	}
	return c.clone(), nil
}
