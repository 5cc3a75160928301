// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// CreateConsumer creates a consumer. Env.SecretID may be a secret's name or id; the id is stored. Meta and OrgID are set by the store. It returns a
// [FieldError], [ErrExists], or [ErrNotFound] for the organization.
func (s *Store) CreateConsumer(ctx context.Context, act Act, orgID string, c Consumer) (Consumer, error) {
	c = c.clone()
	c.Meta, c.OrgID = act.meta(), orgID
	if err := checkConsumer(c); err != nil {
		return Consumer{}, err
	}
	wanted := c.Envs
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		if _, err := m.consumerByName(s.space, orgID, c.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("consumer %q: %w", c.Name, taken(err))
		}
		c.Envs = slices.Clone(wanted)
		if err := s.resolveEnvs(m, orgID, c.Envs, nil); err != nil {
			return nil, err
		}
		name := s.space.consumerName(orgID, c.Name)
		ch := s.consumerChange(act, audit.ConsumerCreate, c, 0)
		ch.compares = append(ch.compares, absent(name))
		return ch, s.puts(ch, record{s.space.consumer(orgID, c.ID), kindConsumer, c}, record{name, kindConsumerName, c.ID})
	}, &c)
	if err != nil {
		return Consumer{}, fmt.Errorf("creating consumer: %w", err)
	}
	c.Revision = rev
	return c, nil
}

// consumerChange begins a change of a consumer that is now at revision rev, 0 for a new one.
func (s *Store) consumerChange(act Act, action audit.Action, c Consumer, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.consumer(c.OrgID, c.ID), rev)},
		event:    act.event(c.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "consumer", c.ID, c.Name
	return ch
}

// resolveEnvs replaces secret names by ids and checks that secrets and pinned versions exist. References in had are kept as they are: what was sound when it
// was written must not keep an operator from changing something else.
func (s *Store) resolveEnvs(m *image, orgID string, envs []Env, had []Env) error {
	for i := range envs {
		e := &envs[i]
		if e.SecretID == "" || slices.ContainsFunc(had, func(h Env) bool { return h.SecretID == e.SecretID && h.Version == e.Version }) {
			continue
		}
		secret, err := m.findSecret(s.space, orgID, e.SecretID)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && secret.DeletedAt != nil:
			return &FieldError{fmt.Sprintf("/envs/%d/secret", i), "unknown", fmt.Sprintf("ENV %s refers to a secret that does not exist in this organization", e.Name)}
		case err != nil:
			return err
		}
		e.SecretID = secret.ID
		if e.Version == 0 {
			continue
		}
		pointer := fmt.Sprintf("/envs/%d/version", i)
		if secret.Storage != StorageLocal {
			return &FieldError{pointer, "remote", fmt.Sprintf("ENV %s pins a version of a remote secret; pin it in the secret's remote reference", e.Name)}
		}
		v, err := m.version(s.space, orgID, secret.ID, e.Version)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && v.DestroyedAt != nil:
			return &FieldError{pointer, "unknown", fmt.Sprintf("ENV %s pins version %d, which does not exist or was destroyed", e.Name, e.Version)}
		case err != nil:
			return err
		}
	}
	return nil
}

// UpdateConsumer changes name, kind, description, labels, ENVs, bindings and deliveries; edit's changes of other fields are undone. It returns [ErrNotFound], a
// [ConflictError], a [FieldError], [ErrExists] or edit's error. edit may be called more than once.
func (s *Store) UpdateConsumer(ctx context.Context, act Act, orgID, id string, expect int64, edit func(*Consumer) error) (Consumer, error) {
	var c Consumer
	rev, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		old, err := m.consumer(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		c = old.clone()
		if err := edit(&c); err != nil {
			return nil, err
		}
		c = c.clone() // what the caller put in stays the caller's
		c.Meta, c.OrgID = old.Meta, old.OrgID
		if err := checkConsumer(c); err != nil {
			return nil, err
		}
		if err := s.resolveEnvs(m, orgID, c.Envs, old.Envs); err != nil {
			return nil, err
		}
		changed := changedConsumerFields(*old, c)
		if len(changed) == 0 {
			return nil, nil
		}
		c.update(act)
		ch := s.consumerChange(act, audit.ConsumerUpdate, c, old.Revision)
		ch.event.Changed = changed
		if c.Name != old.Name {
			if _, err := m.consumerByName(s.space, orgID, c.Name); !errors.Is(err, ErrNotFound) {
				return nil, fmt.Errorf("consumer %q: %w", c.Name, taken(err))
			}
			name := s.space.consumerName(orgID, c.Name)
			ch.compares = append(ch.compares, absent(name))
			ch.ops = append(ch.ops, clientv3.OpDelete(s.space.consumerName(orgID, old.Name)))
			if err := s.puts(ch, record{name, kindConsumerName, id}); err != nil {
				return nil, err
			}
		}
		return ch, s.puts(ch, record{s.space.consumer(orgID, id), kindConsumer, c})
	})
	if err != nil {
		return Consumer{}, fmt.Errorf("updating consumer: %w", err)
	}
	c.settleRevision(rev)
	return c, nil
}

// DeleteConsumer deletes a consumer for good. Pods that name it are refused from then on.
func (s *Store) DeleteConsumer(ctx context.Context, act Act, orgID, id string, expect int64) error {
	_, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		old, err := m.consumer(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		ch := s.consumerChange(act, audit.ConsumerDelete, *old, old.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.consumer(orgID, id)), clientv3.OpDelete(s.space.consumerName(orgID, old.Name))}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("deleting consumer: %w", err)
	}
	return nil
}

// clone returns a copy that shares nothing a caller could change.
func (c *Consumer) clone() Consumer {
	d := *c
	d.Labels = maps.Clone(c.Labels)
	d.Envs, d.Bindings, d.Deliveries = slices.Clone(c.Envs), slices.Clone(c.Bindings), slices.Clone(c.Deliveries)
	for i := range d.Envs {
		d.Envs[i].Value = clonePointer(d.Envs[i].Value)
	}
	return d
}

// changedConsumerFields names what differs between two states of a consumer.
func changedConsumerFields(a, b Consumer) []string {
	var names []string
	add := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	add("name", a.Name != b.Name)
	add("kind", a.Kind != b.Kind)
	add("description", a.Description != b.Description)
	add("labels", !maps.Equal(a.Labels, b.Labels))
	add("envs", !slices.EqualFunc(a.Envs, b.Envs, func(x, y Env) bool {
		return x.Name == y.Name && x.SecretID == y.SecretID && x.Version == y.Version &&
			equalPointers(x.Value, y.Value, func(v, w string) bool { return v == w })
	}))
	add("bindings", !slices.Equal(a.Bindings, b.Bindings))
	add("deliveries", !slices.Equal(a.Deliveries, b.Deliveries))
	return names
}
