// SPDX-License-Identifier: Apache-2.0

// Package session authenticates people who signed in.
//
// A session of a browser is in a cookie that only this host's pages over TLS can have set, that no script can read, and that other sites' forms do not send; one of the
// command line is a bearer token. Neither is accepted in the place of the other. A request with an Authorization header is judged by that alone: a cookie that
// the browser added does not lend its authority to it.
package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// What texts of sessions begin with, see package credential.
const (
	Prefix    = "lyd_ses_" // in cookies
	CLIPrefix = "lyd_cli_" // bearer tokens
)

// CookieName is the cookie of a browser's session. Its prefix makes browsers refuse it unless it is set over TLS, by this host, for all of it and nobody else.
const CookieName = "__Host-lanyard-session"

// ErrCrossOrigin means that the page of another origin made the browser send the request. It is not served, whoever is signed in.
var ErrCrossOrigin = errors.New("request comes from a page of another origin")

// Sessions is what is asked of a [store.Store].
type Sessions interface {
	// VerifySession returns an error wrapping [store.ErrNotFound] unless there is a session with this id and hash that has not ended.
	VerifySession(ctx context.Context, id string, sum [sha256.Size]byte) (store.Session, error)
}

// Authenticator accepts sessions. Sessions is required.
type Authenticator struct {
	Sessions Sessions
	// Protection refuses requests of other origins' pages; the zero value trusts this origin alone.
	Protection http.CrossOriginProtection
}

// Authenticate returns the principal who signed in, and the anonymous principal if the request has no session or one that has ended. It returns an error wrapping
// [ErrCrossOrigin], or [bearer.ErrUnchecked] if the store cannot tell.
func (a *Authenticator) Authenticate(r *http.Request) (authz.Principal, error) {
	s, err := a.Find(r)
	if errors.Is(err, store.ErrNotFound) {
		return authz.Principal{}, nil
	}
	if err != nil {
		return authz.Principal{}, err
	}
	return PrincipalOf(s), nil
}

// Find returns the session of a request. It returns an error wrapping [store.ErrNotFound] if there is none.
func (a *Authenticator) Find(r *http.Request) (store.Session, error) {
	text, kind, prefix := "", store.SessionBrowser, Prefix
	if len(r.Header.Values("Authorization")) > 0 {
		kind, prefix = store.SessionCLI, CLIPrefix
		text, _ = bearer.Token(r)
	} else if cookies := r.CookiesNamed(CookieName); len(cookies) == 1 {
		text = cookies[0].Value
	}
	id, ok := credential.Parse(prefix, text)
	if !ok {
		return store.Session{}, store.ErrNotFound
	}
	if kind == store.SessionBrowser {
		if err := a.Protection.Check(r); err != nil {
			return store.Session{}, ErrCrossOrigin // the error there quotes a header
		}
	}
	s, err := a.Sessions.VerifySession(r.Context(), id, credential.Sum(text))
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && s.Kind != kind:
		return store.Session{}, store.ErrNotFound
	case err != nil:
		return store.Session{}, fmt.Errorf("%w: verifying session: %w", bearer.ErrUnchecked, err)
	}
	return s, nil
}

// PrincipalOf is who a session stands for.
func PrincipalOf(s store.Session) authz.Principal {
	kind, id, _ := strings.Cut(s.Principal, ":")
	return authz.Principal{Type: kind, ID: id, Session: s.ID}
}

// SetCookie gives a browser its session.
func SetCookie(w http.ResponseWriter, text string, ends time.Time) {
	http.SetCookie(w, cookie(text, int(time.Until(ends).Seconds())))
}

// ClearCookie makes a browser forget its session.
func ClearCookie(w http.ResponseWriter) { http.SetCookie(w, cookie("", -1)) }

// cookie is Lax, not Strict: after the provider sent a browser back, its first request here counts as begun by the provider.
func cookie(text string, age int) *http.Cookie {
	return &http.Cookie{Name: CookieName, Value: text, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
