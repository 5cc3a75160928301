// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// authenticate gets a session with the configured method.
func (v *Vault) authenticate(ctx context.Context) (*session, error) {
	switch v.Auth.Method {
	case MethodToken:
		return v.adopt(ctx)
	case MethodAppRole:
		body := map[string]string{"role_id": v.Auth.RoleID}
		if v.credentials.SecretID != "" {
			body["secret_id"] = v.credentials.SecretID
		}
		return v.exchange(ctx, body)
	}
	token := v.credentials.JWT
	if token == "" {
		t, err := v.host.ServiceAccountToken(ctx, v.Auth.Audience)
		if err != nil {
			return nil, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonCredentials, Message: "the registry has no service account token for this audience", Err: err}
		}
		defer t.Wipe()
		token = string(t.Reveal())
	}
	return v.exchange(ctx, v.jwtBody(token))
}

// jwtBody is what kubernetes and jwt log in with.
func (v *Vault) jwtBody(token string) map[string]string {
	body := map[string]string{"jwt": token}
	if v.Auth.Role != "" {
		body["role"] = v.Auth.Role
	}
	return body
}

// exchange logs in with a body and returns the session of the token Vault answers with.
func (v *Vault) exchange(ctx context.Context, body map[string]string) (*session, error) {
	anonymous, err := v.newClient("")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	a, err := anonymous.put(ctx, "auth/"+v.Auth.Mount+"/login", body)
	if err != nil {
		return nil, err
	}
	if a.Auth == nil || !rest.Printable(a.Auth.ClientToken) {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "Vault answered the login without a token"}
	}
	c, err := v.newClient(a.Auth.ClientToken)
	if err != nil {
		return nil, err
	}
	return &session{client: c, expires: expiry(began, a.Auth.LeaseDuration), renewable: a.Auth.Renewable, ours: true, leased: new(atomic.Bool)}, nil
}

// adopt uses the configured token. It asks for its life, to renew it in time; a token that may not look at itself is used as it is.
func (v *Vault) adopt(ctx context.Context) (*session, error) {
	c, err := v.newClient(v.credentials.Token)
	if err != nil {
		return nil, err
	}
	s := &session{client: c, leased: new(atomic.Bool)}
	began := time.Now()
	a, err := c.get(ctx, lookupSelf, nil)
	if forbidden(err) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	var self struct {
		TTL       int64 `json:"ttl"`
		Renewable bool  `json:"renewable"`
	}
	if err := provider.DecodeJSON(a.Data, &self); err != nil {
		return nil, err
	}
	s.expires, s.renewable = expiry(began, self.TTL), self.Renewable
	return s, nil
}

// errShort means that renewing gives the token little more life: it nears the most it can have.
var errShort = errors.New("the token nears its maximal life")

// renew returns the session with its life extended. The token stays the same, and with it what was leased.
func (s *session) renew(ctx context.Context) (*session, error) {
	if !s.renewable {
		return nil, errShort
	}
	before := time.Until(s.expires)
	began := time.Now()
	a, err := s.client.put(ctx, "auth/token/renew-self", struct{}{})
	if err != nil {
		return nil, explain(err)
	}
	if a.Auth == nil {
		return nil, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "Vault answered the renewal without a lease"}
	}
	next := &session{client: s.client, expires: expiry(began, a.Auth.LeaseDuration), renewable: a.Auth.Renewable, ours: s.ours, leased: s.leased}
	if s.ours && !next.expires.IsZero() && time.Until(next.expires) < before*3/2 {
		return nil, errShort
	}
	return next, nil
}

// expiry is when a token ends: a life of 0 is endless. The clock starts before the request, and the end is drawn a little closer, so that no token is used that ends on the way.
func expiry(began time.Time, seconds int64) time.Time {
	const longest = 10 * 365 * 24 * 3600
	if seconds <= 0 {
		return time.Time{}
	}
	life := time.Duration(min(seconds, longest)) * time.Second
	return began.Add(life - min(life/10, time.Second))
}

// explainLogin says what a failed login means. A login that is denied is a matter of credentials, not of paths.
func (v *Vault) explainLogin(err error) error {
	status, ok := errors.AsType[*statusError](err)
	if !ok {
		return explain(err)
	}
	switch status.status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		if v.passesThrough() {
			return &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonCredentials,
				Message: "Vault refuses the login of the pod's service account: check what namespaces, service accounts and audience the role is bound to, and config.auth (mount, role)"}
		}
		return &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonCredentials,
			Message: "Vault refuses the login: check config.auth (method, mount, role), the credentials, and what the role is bound to"}
	}
	return explain(err)
}
