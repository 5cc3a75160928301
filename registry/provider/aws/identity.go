// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

const (
	loginTimeout = 4 * time.Second
	expiryWindow = time.Minute // how long before its end a session is replaced
	sessionName  = "lanyard-registry"
)

// newIdentity returns what requests are signed with. Sessions of roles live in memory only; however many requests need a new one, there is one login at a time, and they share it.
func newIdentity(s *settings, host provider.Host, client sdk.HTTPClient) *sdk.CredentialsCache {
	if s.Auth.Method == MethodStatic {
		c := s.credentials
		return sdk.NewCredentialsCache(sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
		}))
	}
	login := &webIdentity{settings: s, host: host, client: sts.New(sts.Options{
		Region: s.Region, BaseEndpoint: sdk.String(s.sts.String()), HTTPClient: client, Retryer: sdk.NopRetryer{}, Credentials: sdk.AnonymousCredentials{},
	})}
	return sdk.NewCredentialsCache(login, func(o *sdk.CredentialsCacheOptions) { o.ExpiryWindow = expiryWindow })
}

// webIdentity assumes a role with a token of the registry's own service account.
type webIdentity struct {
	*settings
	host   provider.Host
	client *sts.Client
}

// Retrieve implements [sdk.CredentialsProvider]. ctx does not end with the request that needs the session, since others may wait for it.
func (w *webIdentity) Retrieve(ctx context.Context) (sdk.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	token, err := w.host.ServiceAccountToken(ctx, w.Auth.Audience)
	if err != nil {
		return sdk.Credentials{}, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonRecord, Message: "the registry has no service account token for this audience", Err: err}
	}
	defer token.Wipe()
	out, err := w.client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &w.Auth.RoleARN, RoleSessionName: sdk.String(sessionName), WebIdentityToken: sdk.String(string(token.Reveal())),
	})
	if err != nil {
		return sdk.Credentials{}, explainLogin(ctx, err)
	}
	c := out.Credentials
	if c == nil || sdk.ToString(c.AccessKeyId) == "" || sdk.ToString(c.SecretAccessKey) == "" || c.Expiration == nil {
		return sdk.Credentials{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the token service answers without a session"}
	}
	return sdk.Credentials{
		AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: sdk.ToString(c.SessionToken), CanExpire: true, Expires: *c.Expiration,
	}, nil
}
