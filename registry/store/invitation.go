// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// Limits of invitations.
const (
	// MaxInvitations is how many open invitations an organization has at most.
	MaxInvitations        = 100
	DefaultInvitationLife = 7 * 24 * time.Hour
	MaxInvitationLife     = 30 * 24 * time.Hour
	maxEmail              = 254 // of an address that mail can be sent to
	// maxAccepted is how many invitations one sign-in accepts; the next one takes the rest.
	maxAccepted = 20
)

// Invitation lets somebody who is not known by a principal yet, or has not agreed yet, become a member. It never changes; it is gone when it is accepted, revoked or has ended, and counts only as
// long as who made it could make another.
type Invitation struct {
	Meta
	OrgID string `json:"org_id"`
	// Either Email or Principal is set. Email is compared without regard to the case of ASCII letters, Principal byte for byte.
	Email     string    `json:"email,omitempty"`
	Principal string    `json:"principal,omitempty"`
	Role      Role      `json:"role"`
	ExpiresAt time.Time `json:"expires_at"`
}

// invited is who is invited, for people.
func (i Invitation) invited() string {
	if i.Email != "" {
		return i.Email
	}
	return i.Principal
}

// invitation is an invitation as it is stored.
type invitation struct {
	Invitation
	Hash []byte `json:"hash"` // SHA-256 of the code
}

// CreateInvitation creates an invitation from Email or Principal, Role and ExpiresAt; other fields are ignored, and a zero ExpiresAt means [DefaultInvitationLife]. hash is called with the new
// invitation's id and returns the SHA-256 of its code. It returns a [FieldError], [ErrExists] if who is invited is a member or invited already, or [ErrNotFound] for the organization.
func (s *Store) CreateInvitation(ctx context.Context, act Act, orgID string, n Invitation, hash func(id string) [32]byte) (Invitation, error) {
	n = Invitation{Meta: act.meta(), OrgID: orgID, Email: n.Email, Principal: n.Principal, Role: n.Role, ExpiresAt: n.ExpiresAt.UTC().Truncate(time.Millisecond)}
	if n.ExpiresAt.IsZero() {
		n.ExpiresAt = n.CreatedAt.Add(DefaultInvitationLife)
	}
	if err := checkInvitation(n); err != nil {
		return Invitation{}, err
	}
	lease, err := s.grant(ctx, n.ExpiresAt.Sub(n.CreatedAt)) // only tidies up
	if err != nil {
		return Invitation{}, fmt.Errorf("creating invitation: %w", err)
	}
	sum := hash(n.ID)
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if err := m.mayInvite(s.space, n); err != nil {
			return nil, err
		}
		key := s.space.invitation(orgID, n.ID)
		sealed, err := seal(s.keys, key, kindInvitation, invitation{n, sum[:]})
		if err != nil {
			return nil, err
		}
		ch := s.invitationChange(act, audit.InvitationCreate, n, 0)
		ch.ops = []clientv3.Op{clientv3.OpPut(key, sealed, clientv3.WithLease(lease))}
		return ch, nil
	}, &n)
	if err != nil {
		s.revokeUnused(context.WithoutCancel(ctx), lease)
		return Invitation{}, fmt.Errorf("creating invitation: %w", err)
	}
	n.Revision = rev
	return n, nil
}

// mayInvite reports why there cannot be another invitation.
func (m *image) mayInvite(k keyspace, n Invitation) error {
	if n.Principal != "" {
		if _, err := m.member(k, n.OrgID, n.Principal); !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("member %q: %w", n.Principal, taken(err))
		}
	}
	open, again := 0, false
	m.invitationsOf(n.OrgID, func(have *invitation) bool {
		if have.open(n.CreatedAt) {
			open++
			again = again || foldASCII(have.invited()) == foldASCII(n.invited()) && (have.Email == "") == (n.Email == "")
		}
		return true
	})
	switch {
	case again:
		return fmt.Errorf("invitation of %q: %w", n.invited(), ErrExists)
	case open >= MaxInvitations:
		return invalid("", "too_many", "an organization may have %d open invitations; revoke one, or wait until one is accepted or has ended", MaxInvitations)
	}
	return nil
}

// RevokeInvitation ends an invitation. It returns [ErrNotFound] or a [ConflictError].
func (s *Store) RevokeInvitation(ctx context.Context, act Act, orgID, id string, expect int64) error {
	_, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		have, err := m.invitation(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := have.expect(expect); err != nil {
			return nil, err
		}
		ch := s.invitationChange(act, audit.InvitationRevoke, have.Invitation, have.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.invitation(orgID, id))}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("revoking invitation: %w", err)
	}
	return nil
}

// AcceptInvitation makes a principal a member if sum is the hash of the invitation's code. An invitation that names a principal is for nobody else; one that names an address is for whoever has the
// code. A code that is wrong, was used or revoked, or has ended is [ErrNotFound]: which it was is not told. Who is a member already gets [ErrExists], and the invitation stays.
func (s *Store) AcceptInvitation(ctx context.Context, act Act, id string, sum [32]byte, principal string) (Member, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Member{}, err
	}
	found, ok := m.invitationIDs.Get(&invitation{Invitation: Invitation{Meta: Meta{ID: id}}})
	if !ok {
		return Member{}, fmt.Errorf("accepting invitation: %w", ErrNotFound)
	}
	made, err := s.accept(ctx, act, found.OrgID, id, principal, func(have *invitation) bool {
		return subtle.ConstantTimeCompare(have.Hash, sum[:]) == 1 && (have.Principal == "" || have.Principal == principal)
	})
	if errors.Is(err, ErrNotFound) { // also of an organization that is gone
		err = ErrNotFound
	}
	if err != nil {
		return Member{}, fmt.Errorf("accepting invitation: %w", err)
	}
	return made, nil
}

// AcceptInvitationsOf makes a person who has just signed in a member by every invitation of the principal, and of the address, which the provider must have verified; it is empty if it has not. It
// returns the memberships that are new, also with an error.
func (s *Store) AcceptInvitationsOf(ctx context.Context, act Act, principal, verifiedEmail string) ([]Member, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	matches := func(have *invitation) bool {
		return have.Principal == principal && principal != "" || have.Email != "" && foldASCII(have.Email) == foldASCII(verifiedEmail)
	}
	var found []*invitation
	m.invitationIDs.Ascend(func(have *invitation) bool {
		if matches(have) && have.open(now()) && !m.isMember(have.OrgID, principal) {
			found = append(found, have)
		}
		return len(found) < maxAccepted
	})
	var made []Member
	var errs []error
	for _, have := range found {
		member, err := s.accept(ctx, act, have.OrgID, have.ID, principal, matches)
		switch {
		case err == nil:
			made = append(made, member)
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrExists): // it was used or revoked meanwhile, or another one was faster
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return made, fmt.Errorf("accepting invitations: %w", err)
	}
	return made, nil
}

// accept uses an invitation up, in the transaction that makes the member.
func (s *Store) accept(ctx context.Context, act Act, orgID, id, principal string, matches func(*invitation) bool) (Member, error) {
	var made Member
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		have, err := m.invitation(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if !matches(have) || !have.open(now()) || !m.stillInvites(s.space, have) {
			return nil, ErrNotFound
		}
		made = Member{Meta: act.meta(), OrgID: orgID, Principal: principal, Role: have.Role}
		made.CreatedBy, made.UpdatedBy = have.CreatedBy, have.CreatedBy // who let them in
		if err := checkMember(made); err != nil {
			return nil, err
		}
		if _, err := m.member(s.space, orgID, principal); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("member %q: %w", principal, taken(err))
		}
		ch := s.invitationChange(act, audit.InvitationAccept, have.Invitation, have.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.invitation(orgID, id))}
		if err := s.puts(ch, record{s.space.member(orgID, principal), kindMember, made}); err != nil {
			return nil, err
		}
		return ch.with(s.memberChange(act, audit.MemberAdd, made, 0)), nil
	}, &made)
	if err != nil {
		return Member{}, err
	}
	made.Revision = rev
	return made, nil
}

// stillInvites reports whether who made an invitation could make it now: an owner, an API token of one, an administrator, or the bootstrap token. Else whoever is about to lose a role could keep a way
// back in.
func (m *image) stillInvites(k keyspace, have *invitation) bool {
	by := have.CreatedBy
	if by == "token:bootstrap" {
		return true
	}
	if id, ok := strings.CutPrefix(by, "token:"); ok {
		t, ok := m.tokenIDs.Get(&token{APIToken: APIToken{Meta: Meta{ID: id}}})
		return ok && t.OrgID == have.OrgID && t.Role == RoleOwner && now().Before(t.ExpiresAt)
	}
	if member, err := m.member(k, have.OrgID, by); err == nil && member.Role == RoleOwner {
		return true
	}
	_, err := m.administrator(k, by)
	return err == nil
}

// Invitation returns an open invitation by id.
func (s *Store) Invitation(ctx context.Context, orgID, id string) (Invitation, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Invitation{}, err
	}
	have, err := m.invitation(s.space, orgID, id)
	if err == nil && !have.open(now()) {
		err = ErrNotFound
	}
	if err != nil {
		return Invitation{}, fmt.Errorf("invitation: %w", err)
	}
	return have.Invitation, nil
}

// Invitations lists open invitations in the order of their creation. The query has no search: they are few.
func (s *Store) Invitations(ctx context.Context, orgID string, q Query) (Page[Invitation], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Invitation]{}, err
	}
	at := now()
	return list(s, invitationIDs{m.invitations}, orgID, kindInvitation, q, func(i index) (Invitation, bool) {
		have, err := m.invitation(s.space, orgID, i.name)
		if err != nil || !have.open(at) {
			return Invitation{}, false
		}
		return have.Invitation, true
	})
}

// invitationChange begins a change of an invitation that is now at revision rev, 0 for a new one.
func (s *Store) invitationChange(act Act, action audit.Action, n Invitation, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.invitation(n.OrgID, n.ID), rev)},
		event:    act.event(n.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "invitation", n.ID, n.invited()
	return ch
}

func (i *invitation) open(at time.Time) bool { return at.Before(i.ExpiresAt) }

func checkInvitation(n Invitation) error {
	return firstOf(
		func() error {
			switch {
			case n.Email == "" && n.Principal == "":
				return invalid("/email", "required", "give an e-mail address or a principal")
			case n.Email != "" && n.Principal != "":
				return invalid("/principal", "forbidden", "give an e-mail address or a principal, not both")
			case n.Email != "":
				return checkEmail(n.Email)
			}
			return checkPrincipal(n.Principal)
		},
		func() error { return checkRole(n.Role) },
		func() error {
			switch life := n.ExpiresAt.Sub(n.CreatedAt); {
			case life <= 0:
				return invalid("/expires_at", "range", "it must lie in the future")
			case life > MaxInvitationLife:
				return invalid("/expires_at", "range", "an invitation lives for 30 days at most")
			}
			return nil
		},
	)
}

// checkEmail takes addresses that can be compared: of ASCII, without quotes or comments. Others look like what they are not.
func checkEmail(email string) error {
	local, domain, ok := strings.Cut(email, "@")
	switch {
	case len(email) > maxEmail:
		return invalid("/email", "too_long", "it may have %d bytes", maxEmail)
	case !ok || local == "" || !dnsName(foldASCII(domain), maxEmail, true), strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),:;<>[\]`, r) }):
		return invalid("/email", "syntax", "it must be an address such as alice@acme.example, in ASCII; invite others by their principal")
	}
	return nil
}

// foldASCII is a text with ASCII letters in lower case. Other letters stay: their cases are not what addresses are compared by, and some fold to ASCII.
func foldASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
