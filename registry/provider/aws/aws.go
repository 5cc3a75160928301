// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"net/http"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// service is one of the two, asked through a client of the SDK.
type service interface {
	// read returns the text or bytes of a secret. The error is one of the SDK.
	read(ctx context.Context, ref provider.Ref) ([]byte, error)
	// greet asks something that reads no secret.
	greet(ctx context.Context) error
}

// AWS is a provider of either type. Open one with the Open function of a [provider.Type].
type AWS struct {
	*settings
	service  service
	identity *sdk.CredentialsCache
	http     *http.Client
}

var _ provider.Provider = (*AWS)(nil)

// open returns a provider for a record. It does no I/O.
func open(r provider.Record, host provider.Host, connect func(*AWS) service) (provider.Provider, error) {
	s, err := parse(r, host)
	if err != nil {
		return nil, err
	}
	a := &AWS{settings: s, http: rest.Client(host.Egress, s.tls)}
	a.identity = newIdentity(s, host, a.http)
	a.service = connect(a)
	return a, nil
}

// baseEndpoint returns the endpoint of the record; nil lets the SDK choose the public one of the region.
func (s *settings) baseEndpoint() *string {
	if s.endpoint == nil {
		return nil
	}
	return sdk.String(s.endpoint.String())
}

// Read implements [provider.Provider].
func (a *AWS) Read(ctx context.Context, ref provider.Ref) (provider.Document, error) {
	if !provider.Allowed(ref.Path, a.prefixes) {
		return provider.Document{}, &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonPrefix, Message: "the path is outside the allowed prefixes of the provider"}
	}
	var text []byte
	err := a.asSomebody(ctx, func() (err error) {
		text, err = a.service.read(ctx, ref)
		return err
	})
	if err != nil {
		return provider.Document{}, err
	}
	return provider.NewText(text), nil
}

// Check implements [provider.Provider]. A denial is good news: AWS knows who asks.
func (a *AWS) Check(ctx context.Context) error {
	err := a.asSomebody(ctx, func() error { return a.service.greet(ctx) })
	if err != nil && (err.Reason == provider.ReasonPermission || err.Kind == provider.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return nil
}

// asSomebody asks, and once more with a new session if AWS no longer knows the one of the role.
func (a *AWS) asSomebody(ctx context.Context, ask func() error) *provider.Error {
	session, err := a.identity.Retrieve(ctx)
	if err != nil {
		return explain(ctx, err)
	}
	if err = ask(); err == nil {
		return nil
	}
	e := explain(ctx, err)
	if e.Reason != provider.ReasonCredentials || a.Auth.Method != MethodWebIdentity {
		return e
	}
	if now, err := a.identity.Retrieve(ctx); err == nil && now.AccessKeyID == session.AccessKeyID { // otherwise another request was faster
		a.identity.Invalidate()
	}
	if err = ask(); err == nil {
		return nil
	}
	return explain(ctx, err)
}

// Close implements [provider.Provider]. Sessions of roles cannot be revoked; they end by themselves.
func (a *AWS) Close() error {
	a.identity.Invalidate()
	a.http.CloseIdleConnections()
	return nil
}

func badReference(message string) (provider.Ref, error) {
	return provider.Ref{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: message}
}
