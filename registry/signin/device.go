// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/ratelimit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const (
	// deviceLife is how long a person may take to find a browser, sign in and type the code.
	deviceLife = 10 * time.Minute
	// devicePrefix is that of device codes, see package credential.
	devicePrefix = "lyd_dev_"
	// deviceClient is the one client there is (RFC 8628, client_id).
	deviceClient = "lanyard-cli"
	deviceGrant  = "urn:ietf:params:oauth:grant-type:device_code"
	// maxForm bounds what is read of a form: an ID token of idtoken.MaxSize, and what goes with it.
	maxForm = 20 << 10
)

// Whoever begins needs no credential: one network may begin 30 at once and one in ten seconds, on each replica.
const (
	beginRate  = 0.1
	beginBurst = 30
)

// Who is signed in may mistype ten codes at once and one a minute, on each replica: of 2^40 codes, at most a thousand of which lead anywhere.
const (
	guessRate  = 1.0 / 60
	guessBurst = 10
)

// pollGrace is the part of the interval that must have passed: networks deliver early and late.
const pollGrace = 0.8

// deviceAnswer is an answer of RFC 8628, section 3.2. There is no verification_uri_complete: that the person types the code is what a link in a stranger's message lacks.
type deviceAnswer struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
}

// tokenAnswer is one of RFC 6749, section 5.1.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

// beginDevice lets a program without a browser wait for a person. It reads no cookie.
func (s *server) beginDevice(w http.ResponseWriter, r *http.Request) {
	a := act(w, r, "anonymous")
	form, ok := readForm(w, r)
	if !ok || form("client_id") != deviceClient {
		refuseToken(w, http.StatusBadRequest, "invalid_request")
		return
	}
	if !s.begins.Allow(ratelimit.Network(a.SourceIP), time.Now()) {
		w.Header().Set("Retry-After", "10")
		refuseToken(w, http.StatusTooManyRequests, "slow_down")
		return
	}
	for range 3 { // a code that another device has is one in a billion
		code, text := newUserCode(), ""
		made, err := s.Store.CreateDevice(r.Context(), a, store.Device{
			Host: printable(form("host")), Client: printable(r.UserAgent()), SourceIP: a.SourceIP, ExpiresAt: time.Now().Add(deviceLife),
		}, code, func(id string) [32]byte {
			text = credential.New(devicePrefix, id)
			return credential.Sum(text)
		})
		switch {
		case errors.Is(err, store.ErrExists):
			continue
		case err != nil:
			s.Log.WarnContext(r.Context(), "device not begun", "request_id", a.RequestID, "err", err)
			w.Header().Set("Retry-After", "30")
			refuseToken(w, http.StatusServiceUnavailable, "temporarily_unavailable")
			return
		}
		s.Log.InfoContext(r.Context(), "device begun", "request_id", a.RequestID, "device_id", made.ID, "source_ip", a.SourceIP)
		answerJSON(w, http.StatusOK, deviceAnswer{
			DeviceCode: text, UserCode: shownUserCode(code), VerificationURI: s.PublicURL + DevicePath,
			ExpiresIn: int(deviceLife / time.Second), Interval: int(s.PollInterval / time.Second),
		})
		return
	}
	refuseToken(w, http.StatusServiceUnavailable, "temporarily_unavailable")
}

// token gives out bearers: to command lines that a person let in, and to jobs for their ID tokens.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	form, ok := readForm(w, r)
	if !ok {
		refuseToken(w, http.StatusBadRequest, "invalid_request")
		return
	}
	switch grant := form("grant_type"); {
	case grant == exchangeGrant && s.IDTokens != nil:
		s.exchange(w, r, form)
	case grant == deviceGrant && s.Provider != nil:
		s.poll(w, r, form)
	default:
		refuseToken(w, http.StatusBadRequest, "unsupported_grant_type")
	}
}

// poll answers a program that asks what became of its device code. Every code that is not good is expired_token: whether it was made up, used or too old is not told.
func (s *server) poll(w http.ResponseWriter, r *http.Request, form func(string) string) {
	text := form("device_code")
	id, ok := credential.Parse(devicePrefix, text)
	if !ok || form("client_id") != deviceClient {
		refuseToken(w, http.StatusBadRequest, "invalid_request")
		return
	}
	found, err := s.Store.PollDevice(r.Context(), id, credential.Sum(text))
	switch {
	case errors.Is(err, store.ErrNotFound):
		refuseToken(w, http.StatusBadRequest, "expired_token")
	case err != nil:
		s.unavailable(w, r, err)
	case !s.polls.Allow(id, time.Now()):
		refuseToken(w, http.StatusBadRequest, "slow_down")
	case found.Decision == store.DeviceRefused:
		refuseToken(w, http.StatusBadRequest, "access_denied")
	case found.Decision != store.DeviceApproved:
		refuseToken(w, http.StatusBadRequest, "authorization_pending")
	default:
		s.redeem(w, r, id, credential.Sum(text))
	}
}

// redeem gives out a session. It has one end: a command line is used now and then, and idles between.
func (s *server) redeem(w http.ResponseWriter, r *http.Request, id string, sum [32]byte) {
	a, text := act(w, r, "anonymous"), ""
	made, err := s.Store.RedeemDevice(r.Context(), a, id, sum, store.Session{
		Kind: store.SessionCLI, SourceIP: a.SourceIP, ExpiresAt: time.Now().Add(s.Life), Idle: s.Life,
	}, func(id string) [32]byte {
		text = credential.New(session.CLIPrefix, id)
		return credential.Sum(text)
	})
	switch {
	case errors.Is(err, store.ErrNotFound): // another request was first
		refuseToken(w, http.StatusBadRequest, "expired_token")
	case err != nil:
		s.unavailable(w, r, err)
	default:
		answerJSON(w, http.StatusOK, tokenAnswer{AccessToken: text, TokenType: "Bearer", ExpiresIn: int(time.Until(made.ExpiresAt) / time.Second)})
	}
}

func (s *server) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.WarnContext(r.Context(), "device not answered", slog.String("request_id", w.Header().Get("X-Request-Id")), slog.Any("err", err))
	w.Header().Set("Retry-After", "5")
	refuseToken(w, http.StatusServiceUnavailable, "temporarily_unavailable")
}

// readForm returns what a form says, "" for what it does not say, or says twice.
func readForm(w http.ResponseWriter, r *http.Request) (field func(name string) string, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		return nil, false
	}
	return func(name string) string {
		if given := r.PostForm[name]; len(given) == 1 {
			return given[0]
		}
		return ""
	}, true
}

// printable is a text that shows what it is: no control or direction characters, which could make a page or a terminal show something else.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

func refuseToken(w http.ResponseWriter, status int, code string) {
	answerJSON(w, status, map[string]string{"error": code})
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who went away hears nothing
}
