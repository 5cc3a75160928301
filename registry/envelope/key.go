// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
)

// keySize is that of AES-256, and of every derived key.
const keySize = 32

var (
	// ErrKeyEncoding reports a key that is not standard base64.
	ErrKeyEncoding = errors.New("key is not standard base64")

	// ErrKeyLength reports a key that is not 32 bytes.
	ErrKeyLength = errors.New("key is not 32 bytes")

	// ErrKeyWeak reports a key of 32 equal bytes, as /dev/zero or a
	// placeholder would give.
	ErrKeyWeak = errors.New("key is one repeated byte")
)

// Key is one KEK: 32 secret bytes. It prints, logs and marshals as
// "[redacted]". The zero Key is not usable; [ParseKey] makes one.
type Key struct{ kek func() *kek }

// kek is reached through a function because fmt cannot call Format on a Key in
// an unexported field, and then reflects. A pointer would not do: a verb that
// does not fit a pointer, like %s, makes fmt follow it and print the bytes.
// Nothing can look into a function.
type kek struct {
	kid    KID
	secret [keySize]byte
	prk    []byte    // HKDF-Extract(secret, no salt); parent of everything but wrap keys
	macs   sync.Pool // of *recordMAC
}

// NewKey returns the content of a new key file: 32 bytes of crypto/rand in
// standard base64 and a newline. The caller owns it and should clear it once
// written: it is the only form in which this package gives a key away.
func NewKey() []byte {
	var secret [keySize]byte
	defer clear(secret[:])
	rand.Read(secret[:])
	return append(base64.StdEncoding.AppendEncode(nil, secret[:]), '\n')
}

// ParseKey reads the content of a key file: 32 bytes in standard, padded
// base64, optionally followed by one line ending. It keeps no reference to
// text.
//
// Errors wrap [ErrKeyEncoding], [ErrKeyLength] or [ErrKeyWeak] and never hold
// any of the text.
func ParseKey(text []byte) (Key, error) {
	line, _ := bytes.CutSuffix(text, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))

	// The decoder skips line endings anywhere; a key file has one line.
	if bytes.ContainsAny(line, "\r\n") {
		return Key{}, fmt.Errorf("%w: it has more than one line", ErrKeyEncoding)
	}
	secret := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	defer clear(secret)
	n, err := base64.StdEncoding.Strict().Decode(secret, line)
	switch {
	case err != nil && len(text) == keySize:
		return Key{}, fmt.Errorf("%w: it looks like 32 raw bytes, encode them", ErrKeyEncoding)
	case err != nil:
		// Not %w: the decoder's error says where it stopped, which is about the key.
		return Key{}, ErrKeyEncoding
	case n != keySize && twiceEncoded(secret[:n]):
		return Key{}, fmt.Errorf("%w: it looks encoded twice, use stringData or encode once", ErrKeyLength)
	case n != keySize:
		return Key{}, fmt.Errorf("%w: it decodes to %d", ErrKeyLength, n)
	case bytes.Count(secret[:n], secret[:1]) == keySize:
		return Key{}, ErrKeyWeak
	}
	return newKey((*[keySize]byte)(secret)), nil
}

// twiceEncoded spots base64 put into a Secret's data that was base64 already.
func twiceEncoded(b []byte) bool {
	var buf [64]byte
	defer clear(buf[:])
	b = bytes.TrimRight(b, "\r\n")
	if base64.StdEncoding.DecodedLen(len(b)) > len(buf) {
		return false
	}
	n, err := base64.StdEncoding.Decode(buf[:], b)
	return err == nil && n == keySize
}

func newKey(secret *[keySize]byte) Key {
	k := &kek{secret: *secret}
	k.prk = must(hkdf.Extract(sha256.New, k.secret[:], nil))
	copy(k.kid[:], expand(k.prk, labelKID, len(k.kid)))
	macKey := expand(k.prk, labelMAC, keySize)
	k.macs.New = func() any { return &recordMAC{hash: hmac.New(sha256.New, macKey)} }
	return Key{kek: func() *kek { return k }}
}

// KID returns the id of the key.
func (k Key) KID() KID { return k.kek().kid }

// expand is HKDF-Expand over SHA-256. The caller clears secret results.
func expand(prk []byte, info string, n int) []byte {
	return must(hkdf.Expand(sha256.New, prk, info, n))
}

// must is for HKDF, which refuses only output lengths and short keys that
// this package never asks for.
func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
