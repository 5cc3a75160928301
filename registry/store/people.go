// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"net/url"
	"unique"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// people is the part of an image that says who may call the administrators' API. The second tree of each pair is derived from the first.
type people struct {
	members     *btree.BTree[*Member] // by organization, principal
	memberships *btree.BTree[*Member] // by principal, organization
	tokens      *btree.BTree[*token]  // by organization, name
	tokenIDs    *btree.BTree[*token]  // by id
	inviting
	sessions
	administration
	federations federations
}

// token is an API token as it is stored.
type token struct {
	APIToken
	Hash []byte `json:"hash"` // SHA-256 of the text its holder has
}

func newPeople() people {
	return people{
		members:        btree.New(degree, func(a, b *Member) bool { return less(a.OrgID, a.Principal, b.OrgID, b.Principal) }),
		memberships:    btree.New(degree, func(a, b *Member) bool { return less(a.Principal, a.OrgID, b.Principal, b.OrgID) }),
		tokens:         btree.New(degree, func(a, b *token) bool { return less(a.OrgID, a.Name, b.OrgID, b.Name) }),
		tokenIDs:       btree.New(degree, func(a, b *token) bool { return a.ID < b.ID }),
		inviting:       newInviting(),
		sessions:       newSessions(),
		administration: newAdministration(),
		federations:    newFederations(),
	}
}

func (p people) clone() people {
	return people{p.members.Clone(), p.memberships.Clone(), p.tokens.Clone(), p.tokenIDs.Clone(), p.inviting.clone(), p.sessions.clone(), p.administration.clone(), p.federations.clone()}
}

// size is how many keys of etcd it stands for.
func (p people) size() int {
	return p.members.Len() + p.tokens.Len() + p.invitations.Len() + p.sessions.size() + p.administration.size() + p.federations.size()
}

func memberAt(a address) *Member {
	principal, _ := url.PathUnescape(a.id) // what cannot be unescaped is the key of nobody
	return &Member{OrgID: a.org, Principal: principal}
}

func tokenAt(a address) *token { return &token{APIToken: APIToken{OrgID: a.org, Name: a.id}} }

func (e *edit) loadMember(key string, a address, value []byte, rev int64) error {
	m := new(Member)
	if err := unseal(e.keys, key, a.kind, value, m); err != nil {
		return err
	}
	if m.OrgID != a.org || url.PathEscape(m.Principal) != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	m.settle(rev)
	m.OrgID, m.Principal, m.Role = unique.Make(m.OrgID).Value(), unique.Make(m.Principal).Value(), unique.Make(m.Role).Value()
	e.members.ReplaceOrInsert(m)
	e.memberships.ReplaceOrInsert(m)
	return nil
}

func (e *edit) removeMember(a address) {
	if m, ok := e.members.Delete(memberAt(a)); ok {
		e.memberships.Delete(m)
	}
}

func (e *edit) loadAPIToken(key string, a address, value []byte, rev int64) error {
	t := new(token)
	if err := unseal(e.keys, key, a.kind, value, t); err != nil {
		return err
	}
	if t.OrgID != a.org || t.Name != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	t.settle(rev)
	t.OrgID, t.Role = unique.Make(t.OrgID).Value(), unique.Make(t.Role).Value()
	e.removeAPIToken(a) // another token may have had the name
	e.tokens.ReplaceOrInsert(t)
	e.tokenIDs.ReplaceOrInsert(t)
	return nil
}

func (e *edit) removeAPIToken(a address) {
	if t, ok := e.tokens.Delete(tokenAt(a)); ok {
		e.tokenIDs.Delete(t)
	}
}

func (m *image) member(k keyspace, org, principal string) (*Member, error) {
	if member, ok := m.members.Get(&Member{OrgID: org, Principal: principal}); ok {
		return member, nil
	}
	return nil, m.missing(k.member(org, principal))
}

// isMember is false also for a member whose record does not verify.
func (m *image) isMember(org, principal string) bool {
	_, ok := m.members.Get(&Member{OrgID: org, Principal: principal})
	return ok
}

// findMember takes a principal or an id.
func (m *image) findMember(k keyspace, org, principalOrID string) (*Member, error) {
	found, err := m.member(k, org, principalOrID)
	if !errors.Is(err, ErrNotFound) {
		return found, err
	}
	m.membersOf(org, func(member *Member) bool {
		if member.ID == principalOrID {
			found, err = member, nil
		}
		return err != nil
	})
	return found, err
}

// membersOf calls yield for every member of an organization, by principal.
func (m *image) membersOf(org string, yield func(*Member) bool) {
	m.members.AscendGreaterOrEqual(&Member{OrgID: org}, func(member *Member) bool { return member.OrgID == org && yield(member) })
}

// owners counts the owners of an organization other than one principal. A record that does not verify is nobody's.
func (m *image) owners(org, except string) int {
	n := 0
	m.membersOf(org, func(member *Member) bool {
		if member.Role == RoleOwner && member.Principal != except {
			n++
		}
		return true
	})
	return n
}

// findAPIToken takes a name or an id.
func (m *image) findAPIToken(k keyspace, org, nameOrID string) (*token, error) {
	if t, ok := m.tokens.Get(&token{APIToken: APIToken{OrgID: org, Name: nameOrID}}); ok {
		return t, nil
	}
	if t, ok := m.tokenIDs.Get(&token{APIToken: APIToken{Meta: Meta{ID: nameOrID}}}); ok && t.OrgID == org {
		return t, nil
	}
	return nil, m.missing(k.apiToken(org, nameOrID))
}

// memberNames and tokenNames are the indexes that lists walk.
type (
	memberNames struct{ *btree.BTree[*Member] }
	tokenNames  struct{ *btree.BTree[*token] }
)

func (n memberNames) AscendGreaterOrEqual(from index, yield btree.ItemIterator[index]) {
	n.BTree.AscendGreaterOrEqual(&Member{OrgID: from.org, Principal: from.name}, func(m *Member) bool {
		return yield(index{org: m.OrgID, name: m.Principal, id: m.ID})
	})
}

func (n tokenNames) AscendGreaterOrEqual(from index, yield btree.ItemIterator[index]) {
	n.BTree.AscendGreaterOrEqual(&token{APIToken: APIToken{OrgID: from.org, Name: from.name}}, func(t *token) bool {
		return yield(index{org: t.OrgID, name: t.Name, id: t.ID})
	})
}
