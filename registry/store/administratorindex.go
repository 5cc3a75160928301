// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"net/url"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// administration is the part of an image that says who administers the installation.
type administration struct {
	administrators *btree.BTree[*Administrator] // by principal
	end            *bootstrapEnd                // nil if there is no record of it that verifies
}

// bootstrapEnd is a [BootstrapEnd] with its revision.
type bootstrapEnd struct {
	BootstrapEnd
	rev int64
}

func newAdministration() administration {
	return administration{administrators: btree.New(degree, func(a, b *Administrator) bool { return a.Principal < b.Principal })}
}

func (a administration) clone() administration {
	return administration{a.administrators.Clone(), a.end}
}

// size is how many keys of etcd it stands for.
func (a administration) size() int {
	if a.end != nil {
		return a.administrators.Len() + 1
	}
	return a.administrators.Len()
}

func administratorAt(a address) *Administrator {
	principal, _ := url.PathUnescape(a.id) // what cannot be unescaped is the key of nobody
	return &Administrator{Principal: principal}
}

func (e *edit) loadAdministrator(key string, a address, value []byte, rev int64) error {
	n := new(Administrator)
	if err := unseal(e.keys, key, a.kind, value, n); err != nil {
		return err
	}
	if url.PathEscape(n.Principal) != a.id {
		return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
	}
	n.settle(rev)
	e.administrators.ReplaceOrInsert(n)
	return nil
}

func (e *edit) loadBootstrapEnd(key string, a address, value []byte, rev int64) error {
	end := &bootstrapEnd{rev: rev}
	if err := unseal(e.keys, key, a.kind, value, &end.BootstrapEnd); err != nil {
		return err
	}
	e.end = end
	return nil
}

func (m *image) administrator(k keyspace, principal string) (*Administrator, error) {
	if a, ok := m.administrators.Get(&Administrator{Principal: principal}); ok {
		return a, nil
	}
	return nil, m.missing(k.administrator(principal))
}

// findAdministrator takes a principal or an id.
func (m *image) findAdministrator(k keyspace, principalOrID string) (*Administrator, error) {
	found, err := m.administrator(k, principalOrID)
	if !errors.Is(err, ErrNotFound) {
		return found, err
	}
	m.administrators.Ascend(func(a *Administrator) bool {
		if a.ID == principalOrID {
			found, err = a, nil
		}
		return err != nil
	})
	return found, err
}

// bootstrapEnd returns nil while the bootstrap token counts.
func (m *image) bootstrapEnd(k keyspace) (*BootstrapEnd, error) {
	if m.end != nil {
		end := m.end.BootstrapEnd
		return &end, nil
	}
	if err := m.missing(k.bootstrap()); !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return nil, nil
}

// administratorNames is the index that lists walk.
type administratorNames struct{ *btree.BTree[*Administrator] }

func (n administratorNames) AscendGreaterOrEqual(from index, yield btree.ItemIterator[index]) {
	n.BTree.AscendGreaterOrEqual(&Administrator{Principal: from.name}, func(a *Administrator) bool {
		return yield(index{name: a.Principal, id: a.ID})
	})
}
