// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// KeyCheckSize is the length of a key check value.
const KeyCheckSize = 16

// Ring is an immutable set of KEKs. The primary seals; all of them open. It is
// safe for concurrent use, and prints, logs and marshals as "[redacted]". The
// zero Ring is not usable; [NewRing] makes one.
type Ring struct{ keys func() *keys } // a function for the reason given at kek

type keys struct {
	primary *kek
	byID    map[KID]*kek // includes primary
	random  func([]byte) // fills its argument; replaced only to freeze test vectors
}

// NewRing returns a ring that seals with primary and opens with all keys
// given. It refuses a zero Key, and two keys of one kid: there the same key
// was given twice.
func NewRing(primary Key, others ...Key) (*Ring, error) {
	set := &keys{byID: make(map[KID]*kek, 1+len(others)), random: fromRand}
	for _, k := range append([]Key{primary}, others...) {
		if k.kek == nil {
			return nil, errors.New("making key ring: zero key")
		}
		if _, dup := set.byID[k.KID()]; dup {
			return nil, fmt.Errorf("making key ring: key %s is given twice", k.KID())
		}
		set.byID[k.KID()] = k.kek()
	}
	set.primary = primary.kek()
	return &Ring{keys: func() *keys { return set }}, nil
}

func fromRand(b []byte) { rand.Read(b) } // never fails since Go 1.24

// Primary returns the id of the key that seals.
func (r *Ring) Primary() KID { return r.keys().primary.kid }

// KIDs returns the ids of all keys, sorted. The caller owns the slice.
func (r *Ring) KIDs() []KID {
	return slices.SortedFunc(maps.Keys(r.keys().byID), func(a, b KID) int { return bytes.Compare(a[:], b[:]) })
}

// Equal reports whether both rings hold the same keys and the same primary.
func (r *Ring) Equal(other *Ring) bool {
	return r.Primary() == other.Primary() && slices.Equal(r.KIDs(), other.KIDs())
}

func (r *Ring) key(id KID) (*kek, error) {
	k, ok := r.keys().byID[id]
	if !ok {
		return nil, &UnknownKeyError{KID: id}
	}
	return k, nil
}

// KeyCheck returns the key check value of a key: [KeyCheckSize] bytes that
// prove possession of the key and reveal nothing about it. Store it next to
// the kid when the key is first used, and refuse to serve when
// [Ring.VerifyKeyCheck] fails later. It returns an [*UnknownKeyError] if the
// ring lacks the key.
func (r *Ring) KeyCheck(id KID) ([]byte, error) {
	k, err := r.key(id)
	if err != nil {
		return nil, err
	}
	return expand(k.prk, labelKCV, KeyCheckSize), nil
}

// VerifyKeyCheck compares a stored key check value in constant time. It
// returns an [*UnknownKeyError] if the ring lacks the key and [ErrKeyCheck] if
// the value is not that key's.
func (r *Ring) VerifyKeyCheck(id KID, kcv []byte) error {
	want, err := r.KeyCheck(id)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want, kcv) != 1 {
		return ErrKeyCheck
	}
	return nil
}

// Derive returns a key for another purpose, such as signing page tokens,
// independent of every other purpose and of the keys used here. It changes
// when the primary does; what outlives a rotation keeps [Ring.Primary] next to
// it and comes back through [Ring.DeriveFrom]. The caller owns the result and
// must keep it as secret as a KEK.
func (r *Ring) Derive(purpose string) [32]byte { return r.keys().primary.derive(purpose) }

// DeriveFrom is [Ring.Derive] from a named key of the ring. It returns an
// [*UnknownKeyError] if the ring lacks the key.
func (r *Ring) DeriveFrom(id KID, purpose string) ([32]byte, error) {
	k, err := r.key(id)
	if err != nil {
		return [32]byte{}, err
	}
	return k.derive(purpose), nil
}

func (k *kek) derive(purpose string) [32]byte {
	out := expand(k.prk, string(appendField([]byte(labelDerive), 1, purpose)), keySize)
	defer clear(out)
	return [keySize]byte(out)
}
