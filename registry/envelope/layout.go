// SPDX-License-Identifier: Apache-2.0

package envelope

const (
	version1     = 1
	algAES256GCM = 1

	headerSize = 1 + 1 + len(KID{}) // version, alg, kid
	saltSize   = 32
	nonceSize  = 12
	tagSize    = 16
	commitSize = 16

	minSize = headerSize + saltSize + nonceSize + keySize + tagSize + commitSize + nonceSize + tagSize
)

// Overhead is how much longer an envelope is than its plaintext: header 10,
// salt 32, nonce 12, wrapped DEK 48, commitment 16, nonce 12, tag 16.
const Overhead = minSize

// layout is a view into an envelope; its slices alias it.
type layout struct {
	header     []byte // version, alg, kid
	kid        []byte // tail of header
	salt       []byte
	wrapNonce  []byte
	wrapped    []byte // DEK and tag
	commit     []byte
	valueNonce []byte
	value      []byte // ciphertext and tag
}

// split cuts b, which must hold at least everything before the value.
func split(b []byte) layout {
	cut := func(n int) (field []byte) {
		field, b = b[:n:n], b[n:]
		return field
	}
	header := cut(headerSize)
	return layout{
		header:     header,
		kid:        header[2:],
		salt:       cut(saltSize),
		wrapNonce:  cut(nonceSize),
		wrapped:    cut(keySize + tagSize),
		commit:     cut(commitSize),
		valueNonce: cut(nonceSize),
		value:      b,
	}
}

// EnvelopeKID returns the key an envelope is wrapped under, without
// authenticating anything: use it to count and to plan a rotation, never to
// trust. It returns [ErrFormat], or [ErrCorrupt] if the envelope is too short
// to be one.
func EnvelopeKID(envelope []byte) (KID, error) {
	switch {
	case len(envelope) >= 1 && envelope[0] != version1,
		len(envelope) >= 2 && envelope[1] != algAES256GCM:
		return KID{}, ErrFormat
	case len(envelope) < minSize:
		return KID{}, ErrCorrupt
	}
	return KID(envelope[2:headerSize]), nil
}
