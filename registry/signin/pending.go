// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/registry/authn/oidc"
)

// pendingLife is how long somebody may take at the provider: time for a second factor and a changed password.
const pendingLife = 10 * time.Minute

// pendingCookie has the prefix that makes browsers refuse it from anybody but this host.
const pendingCookie = "__Host-lanyard-signin"

// pending is a sign-in that is under way in one browser.
type pending struct {
	oidc.Begun
	ReturnTo string    `json:"return_to"`
	Until    time.Time `json:"until"`
}

var errNotPending = errors.New("no sign-in is under way in this browser")

func (s *server) setPending(w http.ResponseWriter, p pending) error {
	sealer, err := s.sealer()
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	sealed := sealer.Seal(nil, nil, text, []byte(pendingCookie)) //nolint:gosec // it makes a random nonce and puts it first
	http.SetCookie(w, pendingText(base64.RawURLEncoding.EncodeToString(sealed), int(pendingLife.Seconds())))
	return nil
}

func clearPending(w http.ResponseWriter) { http.SetCookie(w, pendingText("", -1)) }

func pendingText(text string, age int) *http.Cookie {
	return &http.Cookie{Name: pendingCookie, Value: text, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// pending returns what the browser's cookie says. A cookie that was sealed before the primary key changed is not opened: the person begins again.
func (s *server) pending(r *http.Request) (pending, error) {
	var p pending
	cookies := r.CookiesNamed(pendingCookie)
	if len(cookies) != 1 {
		return p, errNotPending
	}
	sealer, err := s.sealer()
	if err != nil {
		return p, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	if err != nil {
		return p, errNotPending
	}
	text, err := sealer.Open(nil, nil, sealed, []byte(pendingCookie))
	if err != nil || json.Unmarshal(text, &p) != nil || !time.Now().Before(p.Until) {
		return pending{}, errNotPending
	}
	return p, nil
}

// sealer has random nonces of 96 bits: far more sign-ins than there will be under one key.
func (s *server) sealer() (cipher.AEAD, error) {
	key := s.Derive("sign-in cookie")
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

const maxReturn = 2048

var errReturn = errors.New("return_to is not a path of this host")

// returnTo is where the browser goes after signing in. It must not lead away: a link to this host's sign-in page must not end on somebody else's page.
func returnTo(query url.Values) (string, error) {
	given := query["return_to"]
	switch {
	case len(given) == 0:
		return HomePath, nil
	case len(given) != 1:
		return "", errReturn
	}
	to := given[0]
	u, err := url.Parse(to)
	// Browsers take a backslash for a slash and drop tabs and line ends, so that what is a path here could be a host there.
	if err != nil || len(to) > maxReturn || u.Scheme != "" || u.Opaque != "" || u.User != nil || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") ||
		strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return "", errReturn
	}
	return to, nil
}
