// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"unique"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// inviting is the part of an image that says who may become a member. The second tree is derived from the first.
type inviting struct {
	invitations   *btree.BTree[*invitation] // by organization, id
	invitationIDs *btree.BTree[*invitation] // by id
}

func newInviting() inviting {
	return inviting{
		invitations:   btree.New(degree, func(a, b *invitation) bool { return less(a.OrgID, a.ID, b.OrgID, b.ID) }),
		invitationIDs: btree.New(degree, func(a, b *invitation) bool { return a.ID < b.ID }),
	}
}

func (i inviting) clone() inviting {
	return inviting{i.invitations.Clone(), i.invitationIDs.Clone()}
}

func invitationAt(org, id string) *invitation {
	return &invitation{Invitation: Invitation{OrgID: org, Meta: Meta{ID: id}}}
}

func (e *edit) loadInvitation(key string, a address, value []byte, rev int64) error {
	i := new(invitation)
	if err := unseal(e.keys, key, a.kind, value, i); err != nil {
		return err
	}
	if i.OrgID != a.org || i.ID != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	i.settle(rev)
	i.OrgID, i.Role = unique.Make(i.OrgID).Value(), unique.Make(i.Role).Value()
	e.invitations.ReplaceOrInsert(i)
	e.invitationIDs.ReplaceOrInsert(i)
	return nil
}

func (e *edit) removeInvitation(a address) {
	if i, ok := e.invitations.Delete(invitationAt(a.org, a.id)); ok {
		e.invitationIDs.Delete(i)
	}
}

func (m *image) invitation(k keyspace, org, id string) (*invitation, error) {
	if i, ok := m.invitations.Get(invitationAt(org, id)); ok {
		return i, nil
	}
	return nil, m.missing(k.invitation(org, id))
}

// invitationsOf calls yield for every invitation of an organization, ended ones included.
func (m *image) invitationsOf(org string, yield func(*invitation) bool) {
	m.invitations.AscendGreaterOrEqual(invitationAt(org, ""), func(i *invitation) bool { return i.OrgID == org && yield(i) })
}

// invitationIDs is the index that lists walk.
type invitationIDs struct{ *btree.BTree[*invitation] }

func (n invitationIDs) AscendGreaterOrEqual(from index, yield btree.ItemIterator[index]) {
	n.BTree.AscendGreaterOrEqual(invitationAt(from.org, from.name), func(i *invitation) bool {
		return yield(index{org: i.OrgID, name: i.ID, id: i.ID})
	})
}
