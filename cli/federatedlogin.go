// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// What an ID token is exchanged with (RFC 8693).
const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	idTokenType   = "urn:ietf:params:oauth:token-type:id_token"
)

// federatedToken exchanges the ID token of this job for a bearer of the registry. The ID token is in a file, never an argument.
func (a *app) federatedToken(ctx context.Context, e endpoint, federation, file string) (redact.Value, error) {
	organization := cmp.Or(a.flags.organization, a.Getenv("LANYARD_ORG"))
	file = cmp.Or(file, a.Getenv("LANYARD_ID_TOKEN_FILE"))
	switch {
	case a.flags.tokenFile != "":
		return redact.Value{}, misuse("", "--federated and --token-file exclude each other")
	case organization == "":
		return redact.Value{}, misuse("give --org or set LANYARD_ORG", "it is not known whose federation is meant")
	case file == "":
		return redact.Value{}, misuse("give --id-token-file, where - is standard input, or set LANYARD_ID_TOKEN_FILE", "it is not known where the job's ID token is")
	}
	content, err := a.readFile(file, "--id-token-file", maxIDToken)
	if err != nil {
		return redact.Value{}, err
	}
	token, err := checkToken(bytes.TrimSpace(content), "--id-token-file")
	if err != nil {
		return redact.Value{}, err
	}
	client, err := e.http()
	if err != nil {
		return redact.Value{}, err
	}
	defer client.CloseIdleConnections()
	var said oauthAnswer
	status, err := postForm(ctx, client, strings.TrimSuffix(e.server, "/")+tokenPath, url.Values{
		"grant_type": {exchangeGrant}, "subject_token_type": {idTokenType}, "subject_token": {string(token.Reveal())}, "organization": {organization}, "federation": {federation},
	}, &said)
	switch {
	case err != nil:
		return redact.Value{}, err
	case status == http.StatusOK && said.AccessToken != "":
		return checkToken([]byte(said.AccessToken), "the registry's answer")
	case status == http.StatusNotFound || said.Error == "unsupported_grant_type":
		return redact.Value{}, failed(Failure, "its operator turns that on with -federation-issuers", errors.New("this registry exchanges no ID tokens"))
	case said.Error == "invalid_grant":
		return redact.Value{}, failed(Denied, "owners see the reason with `lanyard audit list`; an ID token is good for one exchange", errors.New("the registry did not accept the ID token for this federation"))
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return redact.Value{}, failed(Unavailable, "try again in a moment", errors.New("the registry cannot check the ID token now"))
	}
	return redact.Value{}, failed(Failure, "compare the versions of this program and the registry", fmt.Errorf("exchanging the ID token: the registry answered with status %d", status))
}

// maxIDToken is what the registry accepts of an ID token, and a line end.
const maxIDToken = 16<<10 + 2
