// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"time"
	"unique"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// federations is the part of an image that says which jobs of whom are let in. The second tree of each pair is derived from the first.
type federations struct {
	byName *btree.BTree[*Federation] // by organization, name
	byID   *btree.BTree[*Federation]
	// What was given out by them, by id, and by federation and id.
	tokens, tokensByRule *btree.BTree[*federated]
}

func newFederations() federations {
	return federations{
		byName:       btree.New(degree, func(a, b *Federation) bool { return less(a.OrgID, a.Name, b.OrgID, b.Name) }),
		byID:         btree.New(degree, func(a, b *Federation) bool { return a.ID < b.ID }),
		tokens:       btree.New(degree, func(a, b *federated) bool { return a.ID < b.ID }),
		tokensByRule: btree.New(degree, func(a, b *federated) bool { return less(a.FederationID, a.ID, b.FederationID, b.ID) }),
	}
}

func (f federations) clone() federations {
	return federations{f.byName.Clone(), f.byID.Clone(), f.tokens.Clone(), f.tokensByRule.Clone()}
}

// size is how many keys of etcd it stands for.
func (f federations) size() int { return f.byName.Len() + f.tokens.Len() }

func federationAt(a address) *Federation { return &Federation{OrgID: a.org, Name: a.id} }

func (e *edit) loadFederation(key string, a address, value []byte, rev int64) error {
	f := new(Federation)
	if err := unseal(e.keys, key, a.kind, value, f); err != nil {
		return err
	}
	if f.OrgID != a.org || f.Name != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	f.settle(rev)
	f.OrgID, f.Issuer, f.Role = unique.Make(f.OrgID).Value(), unique.Make(f.Issuer).Value(), unique.Make(f.Role).Value()
	e.removeFederation(a) // another one may have had the name
	e.federations.byName.ReplaceOrInsert(f)
	e.federations.byID.ReplaceOrInsert(f)
	return nil
}

func (e *edit) removeFederation(a address) {
	if f, ok := e.federations.byName.Delete(federationAt(a)); ok {
		e.federations.byID.Delete(f)
	}
}

func federatedAt(a address) *federated {
	return &federated{FederatedToken: FederatedToken{Meta: Meta{ID: a.id}}}
}

func (e *edit) loadFederated(key string, a address, value []byte, rev int64) error {
	t := new(federated)
	if err := unseal(e.keys, key, a.kind, value, t); err != nil {
		return err
	}
	if t.OrgID != a.org || t.ID != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	t.settle(rev)
	t.OrgID, t.FederationID, t.Principal = unique.Make(t.OrgID).Value(), unique.Make(t.FederationID).Value(), unique.Make(t.Principal).Value()
	e.removeFederated(a)
	e.federations.tokens.ReplaceOrInsert(t)
	e.federations.tokensByRule.ReplaceOrInsert(t)
	return nil
}

func (e *edit) removeFederated(a address) {
	if t, ok := e.federations.tokens.Delete(federatedAt(a)); ok {
		e.federations.tokensByRule.Delete(t)
	}
}

// tokensOf counts the bearers of a federation that have not ended at a time.
func (f federations) tokensOf(federation string, at time.Time) (n int) {
	f.tokensByRule.AscendGreaterOrEqual(&federated{FederatedToken: FederatedToken{FederationID: federation}}, func(t *federated) bool {
		if t.FederationID != federation {
			return false
		}
		if at.Before(t.ExpiresAt) {
			n++
		}
		return true
	})
	return n
}

// findFederation takes a name or an id.
func (m *image) findFederation(k keyspace, org, nameOrID string) (*Federation, error) {
	if f, ok := m.federations.byName.Get(&Federation{OrgID: org, Name: nameOrID}); ok {
		return f, nil
	}
	if f, ok := m.federations.byID.Get(&Federation{Meta: Meta{ID: nameOrID}}); ok && f.OrgID == org {
		return f, nil
	}
	return nil, m.missing(k.federation(org, nameOrID))
}

// federationsOf counts the federations of an organization.
func (m *image) federationsOf(org string) (n int64) {
	m.federations.byName.AscendGreaterOrEqual(&Federation{OrgID: org}, func(f *Federation) bool {
		if f.OrgID != org {
			return false
		}
		n++
		return true
	})
	return n
}

// federationNames is the index that lists walk.
type federationNames struct{ *btree.BTree[*Federation] }

func (n federationNames) AscendGreaterOrEqual(from index, yield btree.ItemIterator[index]) {
	n.BTree.AscendGreaterOrEqual(&Federation{OrgID: from.org, Name: from.name}, func(f *Federation) bool {
		return yield(index{org: f.OrgID, name: f.Name, id: f.ID})
	})
}
