// SPDX-License-Identifier: Apache-2.0

package bearer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Exchange asks a token endpoint (RFC 6749, RFC 8693) for an access token. server is how messages call it. The error is an [*provider.Error].
func Exchange(ctx context.Context, client *http.Client, server, endpoint string, form url.Values) (Token, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, Malformed(server)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	answer, err := Send(client, server, r)
	if err != nil {
		return Token{}, err
	}
	if answer.Status != http.StatusOK {
		return Token{}, Refused(server, answer)
	}
	var given struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := provider.DecodeJSON(answer.Body, &given); err != nil {
		return Token{}, err
	}
	if !rest.Printable(given.AccessToken) {
		return Token{}, Malformed(server)
	}
	const longest = 24 * time.Hour // of any cloud; it also keeps the product in range
	return For(given.AccessToken, time.Duration(max(0, min(given.ExpiresIn, int64(longest/time.Second))))*time.Second), nil
}

// Malformed is the error for an answer that holds no token.
func Malformed(server string) *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer of " + server + " holds no access token"}
}

// Refused explains an answer of a server that gives tokens, other than 200.
func Refused(server string, answer *Answer) *provider.Error {
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound: // RFC 6749 answers 400 to most of what can be wrong
		return &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonCredentials, Message: fmt.Sprintf("%s does not accept the credentials (status %d)", server, answer.Status)}
	default:
		return rest.Status(server, answer.Status, answer.Header)
	}
}
