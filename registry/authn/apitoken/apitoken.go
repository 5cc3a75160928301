// SPDX-License-Identifier: Apache-2.0

// Package apitoken is the format of API tokens, and authenticates their holders.
//
// A token is lyd_<id>_<secret>_<checksum>: the id it is listed under, 256 random bits, and a checksum by which a scanner can tell a token from what looks
// like one without asking anybody. Only the SHA-256 of the whole text is stored; 256 random bits need no slow hash.
package apitoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"strings"

	"github.com/google/uuid"
)

// Prefix is what every token begins with.
const Prefix = "lyd_"

const (
	idSize       = 36 // a UUID
	secretSize   = 43 // 32 bytes in base64url without padding
	checksumSize = 6  // 62^6 is more than 2^32
	size         = len(Prefix) + idSize + 1 + secretSize + 1 + checksumSize
)

// ErrToken is returned for text that is not an API token. It does not contain the text.
var ErrToken = errors.New("not an API token: want lyd_, an id, 43 characters of base64url and a checksum, with underscores between")

// New returns the text of a new token with an id, which is a UUID in its usual form.
func New(id string) string {
	secret := make([]byte, 32)
	rand.Read(secret)
	text := Prefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret)
	return text + "_" + checksum(text)
}

// Parse returns the id in a token. It says nothing of whether the token is valid.
func Parse(text string) (id string, err error) {
	if len(text) != size || !strings.HasPrefix(text, Prefix) {
		return "", ErrToken
	}
	body, sum := text[:size-checksumSize-1], text[size-checksumSize:]
	id, secret := body[len(Prefix):len(Prefix)+idSize], body[len(Prefix)+idSize+1:]
	if body[len(Prefix)+idSize] != '_' || text[len(body)] != '_' || sum != checksum(body) {
		return "", ErrToken
	}
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return "", ErrToken
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(secret); err != nil {
		return "", ErrToken
	}
	return id, nil
}

// Sum is what is stored of a token.
func Sum(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// checksum is the CRC-32 (IEEE) of text in base62, digits before upper before lower case, with leading zeros.
func checksum(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := crc32.ChecksumIEEE([]byte(text))
	var out [checksumSize]byte
	for i := range out {
		out[len(out)-1-i] = digits[sum%62]
		sum /= 62
	}
	return string(out[:])
}
