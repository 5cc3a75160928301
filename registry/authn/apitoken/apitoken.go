// SPDX-License-Identifier: Apache-2.0

// Package apitoken is the format of API tokens, and authenticates their holders. See package credential for the form of a token.
package apitoken

import (
	"crypto/sha256"
	"errors"

	"github.com/lanyard-dev/lanyard/registry/authn/credential"
)

// Prefix is what every token begins with.
const Prefix = "lyd_"

// ErrToken is returned for text that is not an API token. It does not contain the text.
var ErrToken = errors.New("not an API token: want lyd_, an id, 43 characters of base64url and a checksum, with underscores between")

// New returns the text of a new token with an id, which is a UUID in its usual form.
func New(id string) string { return credential.New(Prefix, id) }

// Parse returns the id in a token. It says nothing of whether the token is valid.
func Parse(text string) (id string, err error) {
	id, ok := credential.Parse(Prefix, text)
	if !ok {
		return "", ErrToken
	}
	return id, nil
}

// Sum is what is stored of a token.
func Sum(text string) [sha256.Size]byte { return credential.Sum(text) }
