// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
)

// issuer is what is known of one.
type issuer struct {
	name   string
	client *http.Client
	used   time.Time     // guarded by Issuers.mu
	slots  chan struct{} // one for each token that is being verified
	asking chan struct{} // held by who reads its configuration

	mu     sync.Mutex // guards what follows
	keys   *verifier
	failed error // why it could not be read, until again
	again  time.Time
}

func newIssuer(name string, client *http.Client) *issuer {
	return &issuer{name: name, client: client, slots: make(chan struct{}, maxAtOnce), asking: make(chan struct{}, 1)}
}

// verifier verifies signatures by keys that were read at a time.
type verifier struct {
	*goidc.IDTokenVerifier
	until time.Time
}

// verify reports why a token is not signed by a key the issuer publishes.
func (i *issuer) verify(ctx context.Context, raw string) error {
	wait := time.NewTimer(queueWait)
	defer wait.Stop()
	select {
	case i.slots <- struct{}{}:
	case <-wait.C:
		return idtoken.Refuse(idtoken.Unreachable, errors.New("too many tokens of the issuer are being verified"))
	case <-ctx.Done():
		return idtoken.Refuse(idtoken.Unreachable, ctx.Err())
	}
	defer func() { <-i.slots }()
	keys, err := i.verifier(ctx)
	if err != nil {
		return idtoken.Refuse(idtoken.Unreachable, err)
	}
	var unread error
	if _, err := keys.Verify(context.WithValue(ctx, unreadKey{}, &unread), raw); err != nil {
		if unread != nil {
			return idtoken.Refuse(idtoken.Unreachable, unread)
		}
		return idtoken.Refuse(idtoken.Signature, nil) // its text may quote the token
	}
	return nil
}

// verifier returns the issuer's keys, which it reads if there are none, or old ones. One request reads at a time; the others wait for it.
func (i *issuer) verifier(ctx context.Context) (*verifier, error) {
	if keys, err := i.recent(); keys != nil || err != nil {
		return keys, err
	}
	select {
	case i.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-i.asking }()
	if keys, err := i.recent(); keys != nil || err != nil {
		return keys, err // somebody else has read them
	}
	found, err := i.discover(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil { // else it is this request that has no time
			i.failed, i.again = err, time.Now().Add(failureLife)
		}
		return nil, err
	}
	i.keys, i.failed = &verifier{found, time.Now().Add(keysLife)}, nil
	return i.keys, nil
}

// discover reads the issuer's configuration. What of a token package idtoken has checked is not checked again, but for the issuer.
func (i *issuer) discover(ctx context.Context) (*goidc.IDTokenVerifier, error) {
	found, err := oidc.Discover(ctx, i.client, i.name)
	if err != nil {
		return nil, err
	}
	var configuration struct {
		Keys string `json:"jwks_uri"`
	}
	if err := found.Claims(&configuration); err != nil || configuration.Keys == "" {
		return nil, errors.New("reading its configuration: it names no keys")
	}
	keys := keySet{goidc.NewRemoteKeySet(goidc.ClientContext(ctx, i.client), configuration.Keys)}
	return goidc.NewVerifier(i.name, keys, &goidc.Config{SupportedSigningAlgs: idtoken.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true}), nil
}

// recent returns keys that may be used, or a failure that may not be repeated yet, or neither.
func (i *issuer) recent() (*verifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	switch {
	case i.keys != nil && now.Before(i.keys.until):
		return i.keys, nil
	case i.failed != nil && now.Before(i.again):
		return nil, i.failed
	}
	return nil, nil
}

// keySet tells a token that is of none of the issuer's keys from keys that could not be read: go-oidc's verifier makes one text of both.
type keySet struct{ *goidc.RemoteKeySet }

// unreadKey is the context's key of the *error that says why keys could not be read.
type unreadKey struct{}

// notSigned is what go-oidc says of a token that is of none of the keys.
const notSigned = "failed to verify id token signature"

// VerifySignature implements goidc.KeySet.
func (k keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.RemoteKeySet.VerifySignature(ctx, raw)
	if unread, ok := ctx.Value(unreadKey{}).(*error); ok && err != nil && err.Error() != notSigned {
		*unread = errors.New("reading its keys: they were not had, or are none") // the text may hold the answer
		if network, ok := errors.AsType[*url.Error](err); ok {
			*unread = fmt.Errorf("reading its keys: %w", network)
		}
	}
	return payload, err
}

// budget bounds what an issuer is asked, and asks over TLS only.
type budget struct {
	http.RoundTripper
	limit *rate.Limiter
}

// Errors of a budget.
var (
	errPlain = errors.New("the issuer refers to an address that is not https")
	errSpent = errors.New("the issuer was asked too often of late")
)

// RoundTrip implements http.RoundTripper.
func (b *budget) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlain
	}
	if !b.limit.Allow() {
		return nil, errSpent
	}
	return b.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is what http.Client looks for.
func (b *budget) CloseIdleConnections() {
	if inner, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		inner.CloseIdleConnections()
	}
}
