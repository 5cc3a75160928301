// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
)

var _ provider.Leaser = (*Vault)(nil)

// handle is what renews and revokes a lease. A lease ends with the token it was made with, so a token of a login belongs to it: it is renewed along with the lease, also by a
// registry that did not log in for it, and does not depend on the process that did.
type handle struct {
	LeaseID string `json:"lease_id"`
	Token   string `json:"token,omitempty"` // empty: the configured one
	// Address and Namespace are where the lease is from. The token goes nowhere else.
	Address   string `json:"address"`
	Namespace string `json:"namespace,omitempty"`
}

// tended says when the tokens of leases are to be renewed next, as far as this process knows. The zero value is ready.
type tended struct {
	mu   sync.Mutex
	next map[[sha256.Size]byte]tendedToken
}

type tendedToken struct{ at, expires time.Time }

// lease returns the lease of an answer; nil if there is none to renew or revoke.
func (v *Vault) lease(s *session, a answer) *provider.Lease {
	if a.LeaseID == "" {
		return nil
	}
	h := handle{LeaseID: a.LeaseID, Address: v.address.String(), Namespace: v.Namespace}
	life := time.Duration(a.LeaseDuration) * time.Second
	if s.ours {
		h.Token = s.client.api.Token()
		if !s.expires.IsZero() {
			life = min(life, time.Until(s.expires))
		}
	}
	raw, err := json.Marshal(h)
	if err != nil { // strings alone
		return nil
	}
	return &provider.Lease{Handle: redact.New(raw), Life: life, Renewable: a.Renewable}
}

// Renew implements [provider.Leaser].
func (v *Vault) Renew(ctx context.Context, raw redact.Value, life time.Duration) (provider.Lease, error) {
	h, c, err := v.holder(ctx, raw)
	if err != nil {
		return provider.Lease{}, err
	}
	a, err := c.put(ctx, "sys/leases/renew", map[string]any{"lease_id": h.LeaseID, "increment": int64(life / time.Second)})
	if err != nil {
		return provider.Lease{}, explainLease(err)
	}
	granted := provider.Lease{Handle: raw, Life: time.Duration(a.LeaseDuration) * time.Second, Renewable: a.Renewable}
	if h.Token != "" {
		if expires := v.tend(ctx, c, h.Token); !expires.IsZero() {
			granted.Life = min(granted.Life, time.Until(expires))
		}
	}
	return granted, nil
}

// tend renews the token of a lease when a third of its life is over, and returns when it ends; zero if that is not known, or never.
func (v *Vault) tend(ctx context.Context, c client, token string) time.Time {
	key := sha256.Sum256([]byte(token))
	v.tended.mu.Lock()
	known, ok := v.tended.next[key]
	v.tended.mu.Unlock()
	if ok && time.Now().Before(known.at) {
		return known.expires
	}
	began := time.Now()
	a, err := c.put(ctx, "auth/token/renew-self", struct{}{})
	if err != nil || a.Auth == nil {
		v.log.Debug("token of leases not renewed", "err", err)
		return known.expires // it is asked again with the next lease
	}
	now := tendedToken{expires: expiry(began, a.Auth.LeaseDuration)}
	now.at = began.Add(time.Duration(a.Auth.LeaseDuration) * time.Second / 3)
	v.tended.mu.Lock()
	defer v.tended.mu.Unlock()
	if v.tended.next == nil {
		v.tended.next = make(map[[sha256.Size]byte]tendedToken)
	}
	for old, t := range v.tended.next { // those nobody renews any more
		if !t.expires.IsZero() && began.After(t.expires) {
			delete(v.tended.next, old)
		}
	}
	v.tended.next[key] = now
	return now.expires
}

// Revoke implements [provider.Leaser]. Vault says nothing of leases it does not know.
func (v *Vault) Revoke(ctx context.Context, raw redact.Value) error {
	h, c, err := v.holder(ctx, raw)
	if err != nil {
		return err
	}
	// Not later but now: else it is not known whether the engine could do it.
	_, err = c.put(ctx, "sys/leases/revoke", map[string]any{"lease_id": h.LeaseID, "sync": true})
	if forbidden(err) && h.Token != "" && !v.passesThrough() { // the token of the lease has ended, or may not; the lease is there or not
		s, login := v.login.session(ctx)
		if login != nil {
			return login
		}
		_, err = s.client.put(ctx, "sys/leases/revoke", map[string]any{"lease_id": h.LeaseID, "sync": true})
	}
	if err != nil {
		return explainLease(err)
	}
	return nil
}

// holder returns a handle and the client that may use it.
func (v *Vault) holder(ctx context.Context, raw redact.Value) (handle, client, error) {
	var h handle
	if err := json.Unmarshal(raw.Reveal(), &h); err != nil || h.LeaseID == "" {
		return handle{}, client{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonReference, Message: "this is no lease of Vault's"}
	}
	if h.Address != v.address.String() || h.Namespace != v.Namespace {
		return handle{}, client{}, &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonLeaseElsewhere, Message: "the lease is of a server or namespace that the provider does not point to any more"}
	}
	if h.Token != "" {
		c, err := v.newClient(h.Token)
		return h, c, err
	}
	s, err := v.login.session(ctx)
	if err != nil {
		return handle{}, client{}, err
	}
	return h, s.client, nil
}

// explainLease says what an error of a renewal or revocation means.
func explainLease(err error) error {
	e := explain(err)
	if status, ok := errors.AsType[*statusError](err); ok {
		switch {
		case status.status == http.StatusForbidden:
			e.Message = "Vault denies it: a policy of the credentials must allow to update sys/leases/renew and sys/leases/revoke; or the token of the lease has ended, and the lease with it"
		case status.status == http.StatusBadRequest:
			e = &provider.Error{Kind: provider.KindNotFound, Reason: provider.ReasonLeaseEnded, Message: "Vault does not know the lease, or it cannot be renewed"}
		}
	}
	return e
}
