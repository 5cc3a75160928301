// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// session is a token in use.
type session struct {
	client    client
	expires   time.Time // zero: never
	renewable bool
	ours      bool         // we logged in for it, so we may revoke it
	leased    *atomic.Bool // credentials of a dynamic engine depend on the token; shared by the sessions that renewing makes of one token
}

func (s *session) expired() bool { return !s.expires.IsZero() && !time.Now().Before(s.expires) }

// login keeps the session and sees to it that there is one: it logs in when there is none, renews the token when two thirds of its life are over, and logs in again when Vault no longer
// knows the token. However many requests need a new session, there is one login at a time, and they share it.
type login struct {
	vault        *Vault
	authenticate func(context.Context) (*session, error)

	mu      sync.Mutex
	current *session
	pending *attempt // nil when nobody is logging in
	refused *attempt // the last one, if Vault refused the credentials
	timer   *time.Timer
	closed  bool
}

// attempt is one login. done is closed when the rest is set.
type attempt struct {
	done    chan struct{}
	session *session
	err     error
	at      time.Time
}

const (
	loginTimeout = 5 * time.Second
	refusalTime  = time.Second // how long refused credentials are not tried again: some methods lock out who fails often
	closeTimeout = time.Second
	minRenewal   = time.Second // however short a token lives
)

// get reads a path with a valid token. If Vault denies it, it asks whether the token is still known; if not, it logs in again and reads once more. The error is a *statusError or an
// [*provider.Error].
func (l *login) get(ctx context.Context, path string, query url.Values) (answer, *session, error) {
	s, err := l.session(ctx)
	if err != nil {
		return answer{}, nil, err
	}
	a, err := s.client.get(ctx, path, query)
	if !forbidden(err) {
		return a, s, err
	}
	if known, lookup := s.known(ctx, path); lookup != nil {
		return answer{}, nil, lookup // whether the denial was meant is not known: it must not be taken for final
	} else if known {
		return a, s, err
	}
	if !s.ours {
		return answer{}, nil, &provider.Error{Kind: provider.KindDenied, Reason: provider.ReasonCredentials, Message: "Vault does not accept the token: it expired or was revoked"}
	}
	l.drop(s)
	if s, err = l.session(ctx); err != nil {
		return answer{}, nil, err
	}
	a, err = s.client.get(ctx, path, query)
	return a, s, err
}

const lookupSelf = "auth/token/lookup-self"

// known reports whether Vault knows a token that it just denied something to. If not even that may be asked, the token is taken for unknown.
func (s *session) known(ctx context.Context, path string) (bool, error) {
	if path == lookupSelf {
		return false, nil
	}
	_, err := s.client.get(ctx, lookupSelf, nil)
	if forbidden(err) {
		return false, nil
	}
	return err == nil, err
}

func forbidden(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == http.StatusForbidden
}

// session returns the current session or waits for a new one.
func (l *login) session(ctx context.Context) (*session, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonClosed, Message: "the provider's record changed"}
	}
	if s := l.current; s != nil && !s.expired() {
		l.mu.Unlock()
		return s, nil
	}
	if r := l.refused; r != nil && time.Since(r.at) < refusalTime {
		l.mu.Unlock()
		return nil, r.err
	}
	a := l.startLocked()
	l.mu.Unlock()
	select {
	case <-a.done:
		return a.session, a.err
	case <-ctx.Done():
		return nil, rest.Broken(ctx, server, ctx.Err())
	}
}

// startLocked joins the login on the way or starts one. It is nobody's own: it goes on when those who wait for it give up.
func (l *login) startLocked() *attempt {
	if l.pending != nil {
		return l.pending
	}
	a := &attempt{done: make(chan struct{})}
	l.pending = a
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
		defer cancel()
		s, err := l.authenticate(ctx)
		if err != nil {
			err = l.vault.explainLogin(err)
		}
		l.finish(a, s, err)
	}()
	return a
}

func (l *login) finish(a *attempt, s *session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.session, a.err, a.at = s, err, time.Now()
	l.pending = nil
	l.refused = nil
	switch {
	case err == nil && !l.closed:
		l.current = s
		l.scheduleLocked(s)
	case err == nil: // closed meanwhile
		go func() { _ = s.revoke() }()
	default:
		if e := explain(err); e.Kind == provider.KindDenied || e.Kind == provider.KindInvalid {
			l.refused = a
		}
		l.vault.log.Debug("vault login did not succeed", "err", err)
	}
	close(a.done)
}

// drop forgets a session, unless another has taken its place.
func (l *login) drop(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == s {
		l.current = nil
	}
}

// scheduleLocked sees to the token at about two thirds of its life, some earlier than others.
func (l *login) scheduleLocked(s *session) {
	if l.timer != nil {
		l.timer.Stop()
	}
	if s.expires.IsZero() || (!s.ours && !s.renewable) {
		return
	}
	life := time.Until(s.expires)
	if life <= 0 {
		return
	}
	wait := life*2/3 - rand.N(life/10+1) // spreads load; nobody gains by guessing it
	l.timer = time.AfterFunc(max(wait, minRenewal), func() { l.extend(s) })
}

// extend renews the token, or logs in again if it cannot be renewed or not for long enough. What fails is tried again with what is left of its life; in the end the next read logs in.
func (l *login) extend(s *session) {
	ctx, cancel := context.WithTimeout(context.Background(), loginTimeout)
	defer cancel()
	renewed, err := s.renew(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.current != s:
	case err == nil:
		l.current = renewed
		l.scheduleLocked(renewed)
	case s.ours:
		l.vault.log.Debug("vault token is replaced instead of renewed", "err", err)
		l.startLocked()
		l.scheduleLocked(s) // in case the login does not succeed; if it does, this is cancelled
	default:
		l.vault.log.Warn("vault token could not be renewed", "expires_at", s.expires, "err", err)
		l.scheduleLocked(s)
	}
}

// close forgets the session and revokes a token we logged in for.
func (l *login) close() error {
	l.mu.Lock()
	s := l.current
	l.closed, l.current = true, nil
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.revoke()
}

func (s *session) revoke() error {
	if !s.ours || s.leased.Load() || s.expired() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := s.client.put(ctx, "auth/token/revoke-self", struct{}{})
	return err
}
