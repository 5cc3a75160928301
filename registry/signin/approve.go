// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// ticket says that one browser's session was shown a device. Only that session can decide about it, until the ticket ends.
type ticket struct {
	Device  string    `json:"device"`
	Session string    `json:"session"`
	Until   time.Time `json:"until"`
}

// ticketUse keeps tickets apart from the cookies that are sealed under the same key.
const ticketUse = "device ticket"

// person returns the session of a browser in which somebody is signed in. Otherwise it has answered. A command line's session does not do: it would let in the next one for
// itself, without end.
func (s *server) person(w http.ResponseWriter, r *http.Request) (store.Session, bool) {
	found, err := s.Sessions.Find(r)
	switch {
	case errors.Is(err, session.ErrCrossOrigin):
		s.fail(w, r, http.StatusForbidden, crossOriginPage, "cross-origin", err)
	case errors.Is(err, store.ErrNotFound) || err == nil && found.Kind != store.SessionBrowser:
		if r.Method == http.MethodGet {
			http.Redirect(w, r, LoginPath+"?"+url.Values{"return_to": {DevicePath}}.Encode(), http.StatusSeeOther)
		} else {
			s.show(w, http.StatusUnauthorized, signedOutPage)
		}
	case err != nil:
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
	default:
		return found, true
	}
	return store.Session{}, false
}

// askCode asks for the code that the command line shows.
func (s *server) askCode(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.person(w, r); ok {
		s.show(w, http.StatusOK, codePage)
	}
}

// showDevice shows which command line a code is of, and asks whether it may come in.
func (s *server) showDevice(w http.ResponseWriter, r *http.Request) {
	who, ok := s.person(w, r)
	if !ok {
		return
	}
	form, ok := readForm(w, r)
	if !ok {
		s.show(w, http.StatusBadRequest, wrongCodePage)
		return
	}
	if !s.guesses.Allow(who.Principal, time.Now()) {
		s.failDevice(w, r, who, http.StatusTooManyRequests, guessingPage, "guessing")
		return
	}
	code, ok := readUserCode(form("user_code"))
	if !ok {
		s.failDevice(w, r, who, http.StatusBadRequest, wrongCodePage, "code")
		return
	}
	found, err := s.Store.DeviceByCode(r.Context(), code)
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.failDevice(w, r, who, http.StatusBadRequest, wrongCodePage, "code")
		return
	case err != nil:
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
		return
	}
	p := devicePage
	if p.Ticket, err = s.sealTicket(ticket{found.ID, who.ID, found.ExpiresAt}); err != nil {
		s.fail(w, r, http.StatusInternalServerError, unavailablePage, "internal", err)
		return
	}
	p.Device, p.Principal = &found, who.Principal
	s.show(w, http.StatusOK, p)
}

// decide lets a command line in, or refuses it.
func (s *server) decide(w http.ResponseWriter, r *http.Request) {
	who, ok := s.person(w, r)
	if !ok {
		return
	}
	var t ticket
	form, ok := readForm(w, r)
	if ok {
		t, ok = s.openTicket(form("ticket"))
	}
	if !ok || t.Session != who.ID || !time.Now().Before(t.Until) {
		s.failDevice(w, r, who, http.StatusBadRequest, wrongTicketPage, "ticket")
		return
	}
	decision, p := store.DeviceRefused, refusedDevicePage
	switch form("answer") {
	case "let-in":
		decision, p = store.DeviceApproved, approvedDevicePage
	case "refuse":
	default:
		s.failDevice(w, r, who, http.StatusBadRequest, wrongTicketPage, "ticket")
		return
	}
	err := s.Store.DecideDevice(r.Context(), act(w, r, who.Principal), t.Device, decision, store.Person{Principal: who.Principal, Email: who.Email, Name: who.Name})
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.failDevice(w, r, who, http.StatusBadRequest, wrongTicketPage, "ticket")
	case err != nil:
		s.fail(w, r, http.StatusServiceUnavailable, unavailablePage, "unavailable", err)
	default:
		s.show(w, http.StatusOK, p)
	}
}

// failDevice shows why nothing was let in, and has it audited.
func (s *server) failDevice(w http.ResponseWriter, r *http.Request, who store.Session, status int, p page, reason string) {
	a := act(w, r, who.Principal)
	s.Log.InfoContext(r.Context(), "device not let in", "request_id", a.RequestID, "reason", reason)
	if s.Denials != nil {
		s.Denials.Record(r.Context(), audit.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Millisecond), RequestID: a.RequestID, Actor: a.Actor, SourceIP: a.SourceIP,
			Action: audit.DeviceApprove, Outcome: audit.Denied, Reason: reason,
		})
	}
	s.show(w, status, p)
}

func (s *server) sealTicket(t ticket) (string, error) {
	sealer, err := s.sealer()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealer.Seal(nil, nil, text, []byte(ticketUse))), nil //nolint:gosec // it makes a random nonce and puts it first
}

func (s *server) openTicket(sealed string) (t ticket, ok bool) {
	sealer, err := s.sealer()
	if err != nil {
		return t, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return t, false
	}
	text, err := sealer.Open(nil, nil, raw, []byte(ticketUse))
	return t, err == nil && json.Unmarshal(text, &t) == nil
}
