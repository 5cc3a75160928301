// SPDX-License-Identifier: Apache-2.0

// Package signin is the part of the administrators' listener that people's browsers visit: /auth/login, /auth/callback, /auth/logout, and /auth/ which says who is
// signed in. A command line signs in as RFC 8628 has it: it begins at /auth/device and polls /auth/token, while a person lets it in at /auth/device. A job exchanges its ID token
// at /auth/token as RFC 8693 has it, also where people cannot sign in.
//
// What a sign-in has to remember until the provider sends the browser back (state, nonce, the PKCE verifier) is in a cookie of ten minutes, encrypted under a key
// derived from the primary key-encryption key: any replica can finish what another began, nobody fills a store by beginning, and a callback that another browser
// was tricked into finds no cookie. The session is in the store; see package session for its cookie.
package signin

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/ratelimit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Paths.
const (
	HomePath     = "/auth/"
	LoginPath    = "/auth/login"
	CallbackPath = "/auth/callback"
	LogoutPath   = "/auth/logout"
	DevicePath   = "/auth/device" // GET is for people, POST for programs
	codePath     = "/auth/device/code"
	answerPath   = "/auth/device/answer"
	TokenPath    = "/auth/token"
)

// Provider says who somebody is. An *oidc.Provider is one.
type Provider interface {
	Begin() (oidc.Begun, string, error)
	Finish(ctx context.Context, b oidc.Begun, code string) (oidc.Identity, error)
}

// Store is what is asked of a [store.Store].
type Store interface {
	CreateSession(ctx context.Context, act store.Act, n store.Session, hash func(id string) [32]byte) (store.Session, error)
	AcceptInvitationsOf(ctx context.Context, act store.Act, principal, verifiedEmail string) ([]store.Member, error)
	RevokeSession(ctx context.Context, act store.Act, principal, id string) error
	CreateDevice(ctx context.Context, act store.Act, n store.Device, userCode string, hash func(id string) [32]byte) (store.Device, error)
	DeviceByCode(ctx context.Context, userCode string) (store.Device, error)
	PollDevice(ctx context.Context, id string, sum [32]byte) (store.Device, error)
	DecideDevice(ctx context.Context, act store.Act, id string, decision store.DeviceDecision, by store.Person) error
	// EndBootstrap ends the bootstrap token if principal is an administrator, as [store.Store.EndBootstrap].
	EndBootstrap(ctx context.Context, act store.Act, principal string) error
	Organization(ctx context.Context, slugOrID string) (store.Organization, error)
	Federation(ctx context.Context, orgID, nameOrID string) (store.Federation, error)
	RedeemIDToken(ctx context.Context, act store.Act, f store.Federation, id store.IDToken, hash func(id string) [32]byte) (store.FederatedToken, error)
	RedeemDevice(ctx context.Context, act store.Act, id string, sum [32]byte, n store.Session, hash func(id string) [32]byte) (store.Session, error)
}

// Denials records refusals, as in package api.
type Denials interface {
	Record(ctx context.Context, events ...audit.Event)
}

// Config says what sign-ins work with. Store, and with a Provider Sessions and Derive, are required and borrowed.
type Config struct {
	Provider Provider // if nil, people cannot sign in: there is /auth/token alone
	IDTokens IDTokens // if nil, no ID token is exchanged
	Issuer   string   // the provider's
	// PublicURL is where browsers reach these pages, without a slash at its end.
	PublicURL string
	Store     Store
	Sessions  *session.Authenticator
	// Derive returns a key for a purpose, the same on every replica; keydir.Keyring has one.
	Derive func(purpose string) [32]byte
	// A session lives for Life, and ends when it was not used for Idle; 12 hours and one if 0.
	Life, Idle time.Duration
	// ExchangeRate and ExchangeBurst bound what one network may exchange, a second and at once, on this replica; 1 and 60 if 0.
	ExchangeRate  float64
	ExchangeBurst int
	// PollInterval is how long a command line waits between asking whether somebody let it in; 5 seconds if 0, whole seconds otherwise.
	PollInterval time.Duration
	Denials      Denials               // if nil, refusals are only logged
	Log          *slog.Logger          // if nil, nothing is logged
	Registerer   prometheus.Registerer // if nil, no metrics are exported
}

type server struct {
	Config
	mux       *http.ServeMux
	begins    *ratelimit.Limiter[netip.Prefix]
	guesses   *ratelimit.Limiter[string] // by principal
	polls     *ratelimit.Limiter[string] // by device
	exchanges *ratelimit.Limiter[netip.Prefix]
	exchanged exchangeCounter
}

// New returns the handler of everything below /auth/. It expects the request's id in the answer's X-Request-Id, where package api puts it.
func New(config Config) (http.Handler, error) {
	if config.Store == nil || config.Provider == nil && config.IDTokens == nil || config.Provider != nil && (config.Sessions == nil || config.Derive == nil) {
		return nil, errors.New("sign-in needs a store, and a provider with sessions and a key, or who verifies ID tokens")
	}
	if config.Life == 0 {
		config.Life = 12 * time.Hour
	}
	if config.Idle == 0 {
		config.Idle = time.Hour
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.PollInterval == 0 {
		config.PollInterval = 5 * time.Second
	}
	s := &server{
		Config: config, mux: http.NewServeMux(), begins: ratelimit.New[netip.Prefix](beginRate, beginBurst), guesses: ratelimit.New[string](guessRate, guessBurst),
		polls:     ratelimit.New[string](1/(pollGrace*config.PollInterval.Seconds()), 1),
		exchanges: ratelimit.New[netip.Prefix](cmp.Or(config.ExchangeRate, exchangeRate), cmp.Or(config.ExchangeBurst, exchangeBurst)),
	}
	if config.IDTokens != nil {
		var err error
		if s.exchanged, err = newExchangeCounter(config.Registerer); err != nil {
			return nil, err
		}
	}
	s.mux.HandleFunc("POST "+TokenPath, s.token)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.show(w, http.StatusNotFound, notFoundPage) })
	if config.Provider == nil {
		return s.mux, nil
	}
	s.mux.HandleFunc("GET "+HomePath+"{$}", s.home)
	s.mux.HandleFunc("GET "+LoginPath, s.login)
	s.mux.HandleFunc("GET "+CallbackPath, s.callback)
	s.mux.HandleFunc("POST "+LogoutPath, s.logout)
	s.mux.HandleFunc("POST "+DevicePath, s.beginDevice)
	s.mux.HandleFunc("GET "+DevicePath, s.askCode)
	s.mux.HandleFunc("POST "+codePath, s.showDevice)
	s.mux.HandleFunc("POST "+answerPath, s.decide)
	return s.mux, nil
}

func (s *server) home(w http.ResponseWriter, r *http.Request) {
	found, err := s.Sessions.Find(r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.show(w, http.StatusOK, signedOutPage)
	case err != nil:
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
	default:
		p := signedInPage
		p.Session = &found
		s.show(w, http.StatusOK, p)
	}
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	to, err := returnTo(r.URL.Query())
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, badReturnPage, "return-to", err)
		return
	}
	begun, address, err := s.Provider.Begin()
	if err != nil {
		s.fail(w, r, http.StatusServiceUnavailable, notReadyPage, "provider-unavailable", err)
		return
	}
	if err := s.setPending(w, pending{Begun: begun, ReturnTo: to, Until: time.Now().Add(pendingLife)}); err != nil {
		s.fail(w, r, http.StatusInternalServerError, unavailablePage, "internal", err)
		return
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

func (s *server) callback(w http.ResponseWriter, r *http.Request) {
	begun, err := s.pending(r)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, stalePage, "state", err)
		return
	}
	query := r.URL.Query()
	if state := query["state"]; len(state) != 1 || subtle.ConstantTimeCompare([]byte(state[0]), []byte(begun.State)) != 1 {
		s.fail(w, r, http.StatusBadRequest, stalePage, "state", errors.New("state is not the one of this browser's sign-in"))
		return
	}
	clearPending(w) // whatever comes of it, it is used once
	if issuer, given := query["iss"]; given && (len(issuer) != 1 || issuer[0] != s.Issuer) {
		s.fail(w, r, http.StatusForbidden, refusedPage, "issuer", errors.New("answer is of another issuer"))
		return
	}
	code := query["code"]
	if query.Has("error") || len(code) != 1 || code[0] == "" {
		s.fail(w, r, http.StatusForbidden, refusedPage, "provider", errors.New("provider did not let the person in"))
		return
	}
	who, err := s.Provider.Finish(r.Context(), begun.Begun, code[0])
	switch {
	case errors.Is(err, oidc.ErrNotReady):
		s.fail(w, r, http.StatusServiceUnavailable, notReadyPage, "provider-unavailable", err)
		return
	case errors.Is(err, oidc.ErrExchange):
		s.fail(w, r, http.StatusForbidden, refusedPage, "code", err)
		return
	case err != nil:
		s.fail(w, r, http.StatusForbidden, refusedPage, "token", err)
		return
	}
	s.enter(w, r, who, begun.ReturnTo)
}

// enter begins a session. That of an administrator is the end of the bootstrap token, which is written before.
func (s *server) enter(w http.ResponseWriter, r *http.Request, who oidc.Identity, to string) {
	act := act(w, r, who.Principal())
	if err := s.Store.EndBootstrap(r.Context(), act, who.Principal()); err != nil {
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
		return
	}
	var text string
	made, err := s.Store.CreateSession(r.Context(), act, store.Session{
		Principal: who.Principal(), Kind: store.SessionBrowser, Email: who.Email, Name: who.Name, Client: r.UserAgent(), SourceIP: act.SourceIP,
		ExpiresAt: time.Now().Add(s.Life), Idle: s.Idle,
	}, func(id string) [32]byte {
		text = credential.New(session.Prefix, id)
		return credential.Sum(text)
	})
	switch {
	case errors.Is(err, store.ErrInvalid):
		s.fail(w, r, http.StatusForbidden, refusedPage, "principal", err)
		return
	case err != nil:
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
		return
	}
	s.accept(r.Context(), act, who)
	session.SetCookie(w, text, made.ExpiresAt)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// accept makes somebody who has just signed in a member of who invited them. Whoever cannot be made one now is signed in all the same: the next sign-in tries again.
func (s *server) accept(ctx context.Context, act store.Act, who oidc.Identity) {
	made, err := s.Store.AcceptInvitationsOf(ctx, act, who.Principal(), who.Email)
	for _, m := range made {
		s.Log.InfoContext(ctx, "invitation accepted", "request_id", act.RequestID, "principal", m.Principal, "org_id", m.OrgID)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "invitations not accepted", "request_id", act.RequestID, "err", err)
	}
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) {
	found, err := s.Sessions.Find(r)
	switch {
	case errors.Is(err, session.ErrCrossOrigin):
		s.fail(w, r, http.StatusForbidden, crossOriginPage, "cross-origin", err)
		return
	case err == nil:
		err = s.Store.RevokeSession(r.Context(), act(w, r, found.Principal), found.Principal, found.ID)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) { // the cookie stays, so that signing out can be tried again
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
		return
	}
	session.ClearCookie(w)
	http.Redirect(w, r, HomePath, http.StatusSeeOther)
}

// act is what the store records of a change.
func act(w http.ResponseWriter, r *http.Request, actor string) store.Act {
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	return store.Act{Actor: actor, RequestID: w.Header().Get("X-Request-Id"), SourceIP: source}
}

// fail shows why somebody is not signed in (or out), and has a refusal audited. reason is from a closed set, docs/signin.md lists it.
func (s *server) fail(w http.ResponseWriter, r *http.Request, status int, p page, reason string, err error) {
	a := act(w, r, "anonymous")
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	s.Log.LogAttrs(r.Context(), level, "not signed in", slog.String("request_id", a.RequestID), slog.String("reason", reason), slog.Any("err", err))
	if s.Denials != nil && status < http.StatusInternalServerError && r.URL.Path == CallbackPath {
		s.Denials.Record(r.Context(), audit.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Millisecond), RequestID: a.RequestID, Actor: a.Actor, SourceIP: a.SourceIP,
			Action: audit.SessionCreate, Outcome: audit.Denied, Reason: reason,
		})
	}
	s.show(w, status, p)
}
