// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// Seal encrypts plaintext for c with the primary key. The caller owns both
// slices and should clear plaintext when done with it. The result is
// [Overhead] bytes longer than plaintext, which may be empty.
//
// It returns [ErrContext] if c is incomplete.
func (r *Ring) Seal(c Context, plaintext []byte) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	aad := c.encode()

	dek := make([]byte, keySize)
	defer clear(dek)
	r.keys().random(dek)

	out := make([]byte, minSize-tagSize, len(plaintext)+Overhead)
	if err := r.wrap(out, aad, dek); err != nil {
		return nil, fmt.Errorf("wrapping DEK: %w", err)
	}
	e := split(out)
	copy(e.commit, expand(dek, labelCommit+string(aad), commitSize))
	r.keys().random(e.valueNonce)

	aead, err := valueAEAD(dek, aad)
	if err != nil {
		return nil, fmt.Errorf("encrypting value: %w", err)
	}
	return aead.Seal(out, e.valueNonce, plaintext, aad), nil
}

// Open decrypts an envelope sealed for c. The caller owns the plaintext and
// should clear it after use; it never aliases envelope, which is not changed.
//
// It returns [ErrContext], [ErrFormat], an [*UnknownKeyError] or [ErrCorrupt].
func (r *Ring) Open(c Context, envelope []byte) ([]byte, error) {
	e, aad, dek, err := r.unseal(c, envelope)
	if err != nil {
		return nil, err
	}
	defer clear(dek)
	aead, err := valueAEAD(dek, aad)
	if err != nil {
		return nil, fmt.Errorf("decrypting value: %w", err)
	}
	plaintext, err := aead.Open(nil, e.valueNonce, e.value, aad)
	if err != nil {
		return nil, ErrCorrupt
	}
	return plaintext, nil
}

// Rewrap moves an envelope to the primary key. Only the wrapped DEK is
// replaced: the value is neither decrypted nor re-encrypted, so its own
// integrity stays for [Ring.Open] to judge. If the envelope is under the
// primary already, Rewrap returns it as given, unverified, and changed is
// false; otherwise the result is new and the caller owns it.
//
// Rewrapping does not help against a stolen KEK: whoever copied etcd before
// still opens the copy. It returns the errors of [Ring.Open].
func (r *Ring) Rewrap(c Context, envelope []byte) (rewrapped []byte, changed bool, err error) {
	if err := c.check(); err != nil {
		return nil, false, err
	}
	id, err := EnvelopeKID(envelope)
	if err != nil {
		return nil, false, err
	}
	if id == r.Primary() {
		return envelope, false, nil
	}
	_, aad, dek, err := r.unseal(c, envelope)
	if err != nil {
		return nil, false, err
	}
	defer clear(dek)
	out := append([]byte(nil), envelope...)
	if err := r.wrap(out, aad, dek); err != nil {
		return nil, false, fmt.Errorf("wrapping DEK: %w", err)
	}
	return out, true, nil
}

// unseal parses an envelope, unwraps its DEK and checks the commitment to it.
// The caller clears dek.
func (r *Ring) unseal(c Context, envelope []byte) (e layout, aad, dek []byte, err error) {
	if err := c.check(); err != nil {
		return layout{}, nil, nil, err
	}
	id, err := EnvelopeKID(envelope)
	if err != nil {
		return layout{}, nil, nil, err
	}
	k, err := r.key(id)
	if err != nil {
		return layout{}, nil, nil, err
	}
	e, aad = split(envelope), c.encode()
	aead, info, err := k.wrapAEAD(e, aad)
	if err != nil {
		return layout{}, nil, nil, fmt.Errorf("unwrapping DEK: %w", err)
	}
	dek, err = aead.Open(nil, e.wrapNonce, e.wrapped, info)
	if err != nil {
		return layout{}, nil, nil, ErrCorrupt
	}
	// AES-GCM alone lets one ciphertext open under two keys; the commitment
	// does not, and is checked before the value is touched.
	commit := expand(dek, labelCommit+string(aad), commitSize)
	if subtle.ConstantTimeCompare(commit, e.commit) != 1 {
		clear(dek)
		return layout{}, nil, nil, ErrCorrupt
	}
	return e, aad, dek, nil
}

// wrap writes the header of out, up to and including the wrapped DEK, under
// the primary key.
func (r *Ring) wrap(out, aad, dek []byte) error {
	e := split(out)
	out[0], out[1] = version1, algAES256GCM
	copy(e.kid, r.keys().primary.kid[:])
	r.keys().random(e.salt)
	r.keys().random(e.wrapNonce)
	aead, info, err := r.keys().primary.wrapAEAD(e, aad)
	if err != nil {
		return err
	}
	aead.Seal(e.wrapped[:0], e.wrapNonce, dek, info)
	return nil
}

// wrapAEAD derives the single-use key that wraps one DEK, and the additional
// data that goes with it.
func (k *kek) wrapAEAD(e layout, aad []byte) (aead cipher.AEAD, info []byte, err error) {
	info = make([]byte, 0, len(labelWrap)+2*fieldHeader+len(e.header)+len(aad))
	info = append(info, labelWrap...)
	info = appendField(info, 1, e.header)
	info = appendField(info, 2, aad)
	key := must(hkdf.Key(sha256.New, k.secret[:], e.salt, string(info), keySize))
	defer clear(key)
	aead, err = newGCM(key)
	return aead, info[len(labelWrap):], err
}

func valueAEAD(dek, aad []byte) (cipher.AEAD, error) {
	key := expand(dek, labelEnc+string(aad), keySize)
	defer clear(key)
	return newGCM(key)
}

// newGCM fails only where the Go runtime forbids caller-chosen nonces
// (GODEBUG=fips140=only); fips140=on is fine.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
