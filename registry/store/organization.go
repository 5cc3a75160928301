// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// CreateOrganization creates an organization from Slug and DisplayName; other fields are ignored. Principals in owners become its owners in the same
// transaction. It returns a [FieldError] or [ErrExists].
func (s *Store) CreateOrganization(ctx context.Context, act Act, o Organization, owners ...string) (Organization, error) {
	o = Organization{Meta: act.meta(), Slug: o.Slug, DisplayName: o.DisplayName}
	if err := checkOrganization(o); err != nil {
		return Organization{}, err
	}
	founders, err := s.founders(act, o.ID, owners)
	if err != nil {
		return Organization{}, err
	}
	rev, err := s.mutateOnce(ctx, act, installation, func(m *image) (*change, error) {
		slug := s.space.slug(o.Slug)
		if _, err := m.orgBySlug(s.space, o.Slug); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("organization %q: %w", o.Slug, taken(err))
		}
		ch := &change{
			compares: []clientv3.Cmp{absent(slug), absent(s.space.org(o.ID))},
			event:    act.event(o.ID, audit.OrganizationCreate),
		}
		ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "organization", o.ID, o.Slug
		return ch, s.puts(ch, append(founders, record{s.space.org(o.ID), kindOrganization, o}, record{slug, kindSlug, o.ID})...)
	}, &o)
	if err != nil {
		return Organization{}, fmt.Errorf("creating organization: %w", err)
	}
	o.Revision = rev
	return o, nil
}

// UpdateOrganization changes the display name. The slug is part of every pod's annotations and never changes.
func (s *Store) UpdateOrganization(ctx context.Context, act Act, orgID string, expect int64, edit func(*Organization) error) (Organization, error) {
	var o Organization
	rev, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		old, err := m.org(s.space, orgID)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		o = *old
		if err := edit(&o); err != nil {
			return nil, err
		}
		if o.Slug != old.Slug {
			return nil, &FieldError{"/slug", "immutable", "the slug of an organization cannot change; create another organization"}
		}
		o.Meta = old.Meta
		if o == *old {
			return nil, nil
		}
		if err := checkOrganization(o); err != nil {
			return nil, err
		}
		o.update(act)
		key := s.space.org(orgID)
		ch := &change{compares: []clientv3.Cmp{exists(key, old.Revision)}, event: act.event(orgID, audit.OrganizationUpdate)}
		ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "organization", o.ID, o.Slug
		if o.DisplayName != old.DisplayName {
			ch.event.Changed = append(ch.event.Changed, "display_name")
		}
		if o.Quota != old.Quota {
			ch.event.Changed = append(ch.event.Changed, "quota")
		}
		return ch, s.puts(ch, record{key, kindOrganization, o})
	})
	if err != nil {
		return Organization{}, fmt.Errorf("updating organization: %w", err)
	}
	o.settleRevision(rev)
	return o, nil
}

// record is what one put writes.
type record struct {
	key, kind string
	object    any
}

// puts adds operations that write records.
func (s *Store) puts(ch *change, records ...record) error {
	for _, r := range records {
		sealed, err := seal(s.keys, r.key, r.kind, r.object)
		if err != nil {
			return err
		}
		ch.ops = append(ch.ops, clientv3.OpPut(r.key, sealed))
	}
	return nil
}

// settleRevision sets the revision of an object that was written at rev, or not written if rev is 0.
func (m *Meta) settleRevision(rev int64) {
	if rev != 0 {
		m.Revision = rev
	}
}

// taken is the error for a name whose lookup ended with err: in use, or nobody knows because a record does not verify.
func taken(err error) error {
	if err == nil {
		return ErrExists
	}
	return err
}
