// SPDX-License-Identifier: Apache-2.0

package azure

import (
	"context"
	"net/http"
	"net/url"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/bearer"
)

const entra = "Entra ID"

// login gets an access token for Key Vault, whatever the vault itself would ask for.
func (s *settings) login(client *http.Client, host provider.Host) func(context.Context) (bearer.Token, error) {
	endpoint := s.authority.JoinPath(s.Auth.TenantID, "oauth2", "v2.0", "token").String()
	return func(ctx context.Context) (bearer.Token, error) {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.Auth.ClientID}, "scope": {s.scope}}
		switch s.Auth.Method {
		case MethodWorkloadIdentity:
			assertion, err := host.ServiceAccountToken(ctx, s.Auth.Audience)
			if err != nil {
				return bearer.Token{}, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonCredentials, Message: "the registry has no service account token for this audience", Err: err}
			}
			defer assertion.Wipe()
			form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			form.Set("client_assertion", string(assertion.Reveal()))
		default:
			form.Set("client_secret", s.credentials.ClientSecret)
		}
		return bearer.Exchange(ctx, client, entra, endpoint, form)
	}
}
