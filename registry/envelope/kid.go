// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"encoding/hex"
	"errors"
)

// KID identifies a KEK. It is derived from the key itself, so a wrong key
// under the right file name cannot pass for another. It is not secret. The
// zero KID names no key.
type KID [8]byte

// ErrKID reports text that is not a kid.
var ErrKID = errors.New("kid must be 16 lower-case hexadecimal digits")

// ParseKID is the inverse of [KID.String].
// It returns [ErrKID] for anything String does not write.
func ParseKID(s string) (KID, error) {
	var k KID
	if len(s) != hex.EncodedLen(len(k)) {
		return KID{}, ErrKID
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil || k.String() != s {
		return KID{}, ErrKID
	}
	return k, nil
}

// String returns 16 lower-case hexadecimal digits.
func (k KID) String() string { return hex.EncodeToString(k[:]) }

// MarshalText writes what [KID.String] returns.
func (k KID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts what [ParseKID] accepts.
func (k *KID) UnmarshalText(text []byte) error {
	parsed, err := ParseKID(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}
