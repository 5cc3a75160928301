// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/bearer"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// scope is the only one that Secret Manager knows. What the token is good for is bounded by the roles of the identity.
const scope = "https://www.googleapis.com/auth/cloud-platform"

const (
	tokenServer = "Google's token server"
	sts         = "Google's Security Token Service"
	iam         = "IAM Service Account Credentials"
)

func (s *settings) login(client *http.Client, host provider.Host) func(context.Context) (bearer.Token, error) {
	if s.key != nil {
		return func(ctx context.Context) (bearer.Token, error) { return s.loginWithKey(ctx, client) }
	}
	return func(ctx context.Context) (bearer.Token, error) {
		federated, err := s.federate(ctx, client, host)
		if err != nil || s.Auth.ServiceAccount == "" {
			return federated, err
		}
		return s.impersonate(ctx, client, federated)
	}
}

func (s *settings) loginWithKey(ctx context.Context, client *http.Client) (bearer.Token, error) {
	endpoint := s.token.JoinPath("token").String()
	assertion, err := s.key.assertion(endpoint, scope, time.Now())
	if err != nil {
		return bearer.Token{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonConfig, Message: "the service account key cannot sign", Err: err}
	}
	return bearer.Exchange(ctx, client, tokenServer, endpoint, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}})
}

// federate turns the registry's own token into one of Google (RFC 8693).
func (s *settings) federate(ctx context.Context, client *http.Client, host provider.Host) (bearer.Token, error) {
	own, err := host.ServiceAccountToken(ctx, s.Auth.Audience)
	if err != nil {
		return bearer.Token{}, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonCredentials, Message: "the registry has no service account token for this audience", Err: err}
	}
	defer own.Wipe()
	return bearer.Exchange(ctx, client, sts, s.sts.JoinPath("v1", "token").String(), url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
		"subject_token":        {string(own.Reveal())},
		"audience":             {s.Auth.Provider},
		"scope":                {scope},
	})
}

// impersonate gets a token of the service account for a federated one.
func (s *settings) impersonate(ctx context.Context, client *http.Client, federated bearer.Token) (bearer.Token, error) {
	body, err := json.Marshal(map[string][]string{"scope": {scope}})
	if err != nil {
		return bearer.Token{}, bearer.Malformed(iam)
	}
	endpoint := s.iam.JoinPath("v1", "projects", "-", "serviceAccounts", s.Auth.ServiceAccount+":generateAccessToken").String()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return bearer.Token{}, bearer.Malformed(iam)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+federated.Value)
	answer, err := bearer.Send(client, iam, r)
	if err != nil {
		return bearer.Token{}, err
	}
	if answer.Status != http.StatusOK {
		return bearer.Token{}, bearer.Refused(iam, answer)
	}
	var given struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if provider.DecodeJSON(answer.Body, &given) != nil || !rest.Printable(given.AccessToken) {
		return bearer.Token{}, bearer.Malformed(iam)
	}
	return bearer.For(given.AccessToken, time.Until(given.ExpireTime)), nil
}
