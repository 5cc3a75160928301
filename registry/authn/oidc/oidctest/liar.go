// SPDX-License-Identifier: Apache-2.0

package oidctest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// Liar is a provider whose ID tokens a test makes: really signed, by keys it really publishes, with claims no honest provider would give.
type Liar struct {
	*Provider
	Key *rsa.PrivateKey

	t        testing.TB
	mu       sync.Mutex
	announce string // the issuer it says it is
	token    func(claims map[string]any) string
	claims   map[string]any // of the sign-in at hand
	nonces   []string
}

// KeyID is the id of the liar's key.
const KeyID = "k1"

// StartLiar runs a provider that is honest until told otherwise.
func StartLiar(t testing.TB) *Liar {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l := &Liar{Provider: unstarted(t), Key: key, t: t}
	l.announce = l.Issuer
	l.Honest()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		answer(w, map[string]any{
			"issuer": l.announce, "authorization_endpoint": l.Issuer + "/authorize", "token_endpoint": l.Issuer + "/token", "jwks_uri": l.Issuer + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: KeyID, Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", l.authorize)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		token, claims := l.token, maps.Clone(l.claims)
		l.mu.Unlock()
		answer(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": token(claims)})
	})
	l.Server.Config.Handler = mux
	l.start(t)
	return l
}

// Lie makes the ID tokens from now on. make is given honest claims, which it may change.
func (l *Liar) Lie(make func(claims map[string]any) string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = make
}

// Honest ends the lies.
func (l *Liar) Honest() { l.Lie(func(claims map[string]any) string { return l.Sign(claims) }) }

// Announce makes it call itself something else.
func (l *Liar) Announce(issuer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.announce = issuer
}

// Nonces are those of all sign-ins so far.
func (l *Liar) Nonces() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.nonces...)
}

// authorize lets everybody in at once, as alice.
func (l *Liar) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	now := time.Now()
	l.mu.Lock()
	l.claims = map[string]any{
		"iss": l.Issuer, "aud": query.Get("client_id"), "sub": "a-1", "nonce": query.Get("nonce"), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"email": "alice@acme.example", "email_verified": true, "name": "Alice Ames",
	}
	l.nonces = append(l.nonces, query.Get("nonce"))
	l.mu.Unlock()
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+url.Values{"code": {"c"}, "state": {query.Get("state")}}.Encode(), http.StatusSeeOther) //nolint:gosec // for tests
}

// Sign signs claims with the published key.
func (l *Liar) Sign(claims map[string]any) string { return Sign(l.t, l.Key, claims) }

// Sign signs claims with a key, under the id of the published one.
func Sign(t testing.TB, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: KeyID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// Unsigned is a token with algorithm none.
func Unsigned(claims map[string]any) string { return unsigned("none", claims) + "." }

// Confused is a token with an HMAC for which a public key was taken as the secret.
func (l *Liar) Confused(claims map[string]any) string {
	der, err := x509.MarshalPKIXPublicKey(&l.Key.PublicKey)
	if err != nil {
		l.t.Fatal(err)
	}
	return hmacSigned(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), claims)
}

// SecretSigned is a token with an HMAC under the client secret.
func SecretSigned(claims map[string]any) string { return hmacSigned([]byte(ClientSecret), claims) }

func hmacSigned(key []byte, claims map[string]any) string {
	text := unsigned("HS256", claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func unsigned(algorithm string, claims map[string]any) string {
	header, _ := json.Marshal(map[string]string{"alg": algorithm, "kid": KeyID, "typ": "JWT"})
	payload, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
