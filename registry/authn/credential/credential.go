// SPDX-License-Identifier: Apache-2.0

// Package credential is the form of the credentials the registry gives out.
//
// A text is <prefix><id>_<secret>_<checksum>: the id it is listed under, 256 random bits, and a checksum by which a scanner can tell a credential from what
// looks like one without asking anybody. Only the SHA-256 of the whole text is stored; 256 random bits need no slow hash.
package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"strings"

	"github.com/google/uuid"
)

const (
	idSize       = 36 // a UUID
	secretSize   = 43 // 32 bytes in base64url without padding
	checksumSize = 6  // 62^6 is more than 2^32
	bodySize     = idSize + 1 + secretSize + 1 + checksumSize
)

// New returns the text of a new credential with an id, which is a UUID in its usual form.
func New(prefix, id string) string {
	secret := make([]byte, 32)
	rand.Read(secret)
	text := prefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret)
	return text + "_" + checksum(text)
}

// Parse returns the id in a text with a prefix, false for other texts. It says nothing of whether the credential is valid.
func Parse(prefix, text string) (id string, ok bool) {
	if len(text) != len(prefix)+bodySize || !strings.HasPrefix(text, prefix) {
		return "", false
	}
	body, sum := text[:len(text)-checksumSize-1], text[len(text)-checksumSize:]
	id, secret := body[len(prefix):len(prefix)+idSize], body[len(prefix)+idSize+1:]
	if body[len(prefix)+idSize] != '_' || text[len(body)] != '_' || sum != checksum(body) {
		return "", false
	}
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return "", false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	return id, err == nil
}

// Sum is what is stored of a credential.
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
