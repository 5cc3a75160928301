// SPDX-License-Identifier: Apache-2.0

// Package bearer reads bearer tokens from requests.
package bearer

import (
	"errors"
	"net/http"
	"strings"
)

// ErrUnchecked is wrapped by the error of an authenticator that could not check a credential which may be valid. The caller is told to come again, not that
// the credential is wrong.
var ErrUnchecked = errors.New("credential could not be checked")

// Token returns the token of the one Authorization header; false if there is none, another scheme, or more than one header.
func Token(r *http.Request) (string, bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}
