// SPDX-License-Identifier: Apache-2.0

// Package bootstrap authenticates the first administrator, by a token in a file: a mounted Secret that the installation made.
package bootstrap

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authz"
)

// Prefix is what every bootstrap token begins with; 43 characters of base64url without padding follow, which are 256 random bits.
const Prefix = "lyd_boot_"

const size = len(Prefix) + 43

// ErrToken is returned for text that is not a bootstrap token. It does not contain the text.
var ErrToken = errors.New("not a bootstrap token: want lyd_boot_ and 43 characters of base64url")

// Principal is who the bootstrap token stands for.
var Principal = authz.Principal{Type: "token", ID: "bootstrap", Admin: true}

// Authenticator accepts the token that is in a file now. The file is read at each use, so that replacing or removing it works at once.
// The zero Authenticator accepts nothing.
type Authenticator struct {
	// Path is the file: the token, with or without a newline after it.
	Path string
}

// Authenticate returns [Principal] if the request's bearer token is the one in the file, the anonymous principal if the request has no token of this kind or
// another one, and an error if the file cannot be read or does not hold a token.
func (a *Authenticator) Authenticate(r *http.Request) (authz.Principal, error) {
	given, ok := bearer.Token(r)
	if !ok || check(given) != nil || a.Path == "" {
		return authz.Principal{}, nil //nolint:nilerr // another credential is no error
	}
	want, err := a.read()
	if err != nil {
		return authz.Principal{}, fmt.Errorf("reading bootstrap token: %w", err)
	}
	// Digests have equal lengths and are unlike their tokens: nothing of the token can be learned from how long a comparison takes.
	x, y := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(x[:], y[:]) != 1 {
		return authz.Principal{}, nil
	}
	return Principal, nil
}

func (a *Authenticator) read() (string, error) {
	f, err := os.Open(a.Path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(size)+3))
	if err != nil {
		return "", err
	}
	token := strings.TrimRight(string(text), "\r\n")
	return token, check(token)
}

// check reports why text cannot be a bootstrap token.
func check(text string) error {
	random, ok := strings.CutPrefix(text, Prefix)
	if !ok || len(text) != size {
		return ErrToken
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(random); err != nil {
		return ErrToken
	}
	return nil
}
