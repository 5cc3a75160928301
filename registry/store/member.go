// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Role is what a member or an API token may do in its organization.
type Role string

// The roles. An owner may do everything a member may.
const (
	RoleMember Role = "member" // reads metadata
	RoleOwner  Role = "owner"  // writes, and manages members and API tokens
)

// Member lets a principal call the administrators' API for an organization.
type Member struct {
	Meta
	OrgID     string `json:"org_id"`
	Principal string `json:"principal"` // "user:alice@acme.example", "serviceaccount:ci/deployer"; compared byte for byte, never changes
	Role      Role   `json:"role"`
}

// Membership is one organization a principal is a member of.
type Membership struct {
	Organization Organization
	Role         Role
}

// AddMember makes m.Principal a member with m.Role; other fields are ignored. It returns a [FieldError], [ErrExists], or [ErrNotFound] for the organization.
func (s *Store) AddMember(ctx context.Context, act Act, orgID string, m Member) (Member, error) {
	m = Member{Meta: act.meta(), OrgID: orgID, Principal: m.Principal, Role: m.Role}
	if err := checkMember(m); err != nil {
		return Member{}, err
	}
	rev, err := s.mutateOnce(ctx, act, orgID, func(im *image) (*change, error) {
		if _, err := im.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		if _, err := im.member(s.space, orgID, m.Principal); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("member %q: %w", m.Principal, taken(err))
		}
		ch := s.memberChange(act, audit.MemberAdd, m, 0)
		return ch, s.puts(ch, record{s.space.member(orgID, m.Principal), kindMember, m})
	}, &m)
	if err != nil {
		return Member{}, fmt.Errorf("adding member: %w", err)
	}
	m.Revision = rev
	return m, nil
}

// SetRole changes the role of a member. It returns [ErrNotFound], a [ConflictError], a [FieldError], or [ErrLastOwner] unless force is set.
func (s *Store) SetRole(ctx context.Context, act Act, orgID, principal string, expect int64, role Role, force bool) (Member, error) {
	var m Member
	rev, err := s.mutate(ctx, orgID, func(im *image) (*change, error) {
		old, err := im.member(s.space, orgID, principal)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		m = *old
		m.Role = role
		if err := checkMember(m); err != nil || m.Role == old.Role {
			return nil, err
		}
		if old.Role == RoleOwner && !force && im.owners(orgID, principal) == 0 {
			return nil, ErrLastOwner
		}
		m.update(act)
		ch := s.memberChange(act, audit.MemberUpdate, m, old.Revision)
		ch.event.Changed = []string{"role"}
		return ch, s.puts(ch, record{s.space.member(orgID, principal), kindMember, m})
	})
	if err != nil {
		return Member{}, fmt.Errorf("changing role: %w", err)
	}
	m.settleRevision(rev)
	return m, nil
}

// RemoveMember ends a membership, from the next request on. API tokens the member made go on: they are the organization's. It returns [ErrNotFound], a
// [ConflictError], or [ErrLastOwner] unless force is set.
func (s *Store) RemoveMember(ctx context.Context, act Act, orgID, principal string, expect int64, force bool) error {
	_, err := s.mutate(ctx, orgID, func(im *image) (*change, error) {
		old, err := im.member(s.space, orgID, principal)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		if old.Role == RoleOwner && !force && im.owners(orgID, principal) == 0 {
			return nil, ErrLastOwner
		}
		ch := s.memberChange(act, audit.MemberRemove, *old, old.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.member(orgID, principal))}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("removing member: %w", err)
	}
	return nil
}

// memberChange begins a change of a member that is now at revision rev, 0 for a new one.
func (s *Store) memberChange(act Act, action audit.Action, m Member, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.member(m.OrgID, m.Principal), rev)},
		event:    act.event(m.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "member", m.ID, m.Principal
	return ch
}

// founders are the records of the first owners of a new organization.
func (s *Store) founders(act Act, orgID string, principals []string) ([]record, error) {
	var records []record
	for _, principal := range principals {
		m := Member{Meta: act.meta(), OrgID: orgID, Principal: principal, Role: RoleOwner}
		if err := checkMember(m); err != nil {
			return nil, err
		}
		records = append(records, record{s.space.member(orgID, principal), kindMember, m})
	}
	return records, nil
}

// Member returns a member by principal or id.
func (s *Store) Member(ctx context.Context, orgID, principalOrID string) (Member, error) {
	im, err := s.fresh(ctx)
	if err != nil {
		return Member{}, err
	}
	m, err := im.findMember(s.space, orgID, principalOrID)
	if err != nil {
		return Member{}, fmt.Errorf("member: %w", err)
	}
	return *m, nil
}

// Members lists members by principal.
func (s *Store) Members(ctx context.Context, orgID string, q Query) (Page[Member], error) {
	im, err := s.fresh(ctx)
	if err != nil {
		return Page[Member]{}, err
	}
	return list(s, memberNames{im.members}, orgID, kindMember, q, func(i index) (Member, bool) {
		m, err := im.member(s.space, orgID, i.name)
		if err != nil {
			return Member{}, false
		}
		return *m, true
	})
}

// Standing returns an organization by slug or id and the role a principal has in it. Whether there is no such organization or the principal is no member
// of it is not told apart: both are [ErrNotFound], by the same text.
func (s *Store) Standing(ctx context.Context, slugOrID, principal string) (Organization, Role, error) {
	im, err := s.fresh(ctx)
	if err != nil {
		return Organization{}, "", err
	}
	o, err := im.org(s.space, slugOrID)
	if errors.Is(err, ErrNotFound) {
		o, err = im.orgBySlug(s.space, slugOrID)
	}
	if err != nil { // also for a record that does not verify: only a member may know of it
		return Organization{}, "", ErrNotFound
	}
	m, err := im.member(s.space, o.ID, principal)
	if err != nil {
		return Organization{}, "", ErrNotFound
	}
	return *o, m.Role, nil
}

// Memberships returns the organizations a principal is a member of, in the order of their creation.
func (s *Store) Memberships(ctx context.Context, principal string) ([]Membership, error) {
	im, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	var list []Membership
	im.memberships.AscendGreaterOrEqual(&Member{Principal: principal}, func(m *Member) bool {
		if m.Principal != principal {
			return false
		}
		if o, err := im.org(s.space, m.OrgID); err == nil {
			list = append(list, Membership{*o, m.Role})
		}
		return true
	})
	return list, nil
}

// maxPrincipal has room for an issuer of 250 bytes and a subject of 255, which is all a provider may give.
const maxPrincipal = 512

// checkMember checks principal and role.
func checkMember(m Member) error {
	if err := checkPrincipal(m.Principal); err != nil {
		return err
	}
	return checkRole(m.Role)
}

// checkPrincipal takes principals that can be members. Their types are a closed set: a typing error must not look like somebody who was let in.
func checkPrincipal(principal string) error {
	kind, id, ok := strings.Cut(principal, ":")
	switch {
	case principal == "":
		return invalid("/principal", "required", "it is required")
	case len(principal) > maxPrincipal:
		return invalid("/principal", "too_long", "it may have %d bytes", maxPrincipal)
	case !ok || id == "" || kind != "user" && kind != "serviceaccount":
		return invalid("/principal", "syntax", "it must be user:<issuer>#<subject> or serviceaccount:<namespace>/<name>")
	case strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalid("/principal", "syntax", "it may hold printable ASCII characters without spaces")
	}
	if namespace, name, ok := strings.Cut(id, "/"); kind == "serviceaccount" && (!ok || namespace == "" || name == "" || strings.ContainsAny(name, "/:") || strings.Contains(namespace, ":")) {
		return invalid("/principal", "syntax", "a service account is written serviceaccount:<namespace>/<name>")
	}
	return nil
}

func checkRole(role Role) error {
	switch role {
	case RoleMember, RoleOwner:
		return nil
	case "":
		return invalid("/role", "required", "it is required")
	}
	return invalid("/role", "unknown", "it must be member or owner")
}
