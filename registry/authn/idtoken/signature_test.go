// SPDX-License-Identifier: Apache-2.0

package idtoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
)

// What only the issuer's keys can tell, against an issuer that really publishes some. Each token is told to an [issuer.Issuers] of its own, as one asks for unknown keys a few times only.
func TestATokenThatTheIssuerDidNotSignIsRefused(t *testing.T) {
	liar, other := oidctest.StartLiar(t), oidctest.StartLiar(t)
	var asked atomic.Int32
	mallorys := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(mallorys.Close)
	mallory, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(algorithm jose.SignatureAlgorithm, key any, id string, options jose.SignerOptions) func(map[string]any) string {
		return func(claims map[string]any) string {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, &options)
			if err != nil {
				t.Fatal(err)
			}
			return signed(t, signer, claims)
		}
	}
	elsewhere := jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"jku": mallorys.URL, "x5u": mallorys.URL}}
	for name, tc := range map[string]struct {
		make   func(claims map[string]any) string
		reason idtoken.Reason
	}{
		"an honest one":                         {liar.Sign, ""},
		"no signature":                          {oidctest.Unsigned, idtoken.Algorithm},
		"the public key as a shared secret":     {liar.Confused, idtoken.Algorithm},
		"a key the issuer does not publish":     {sign(jose.RS256, mallory, "k2", jose.SignerOptions{}), idtoken.Signature},
		"that key under the published id":       {sign(jose.RS256, mallory, oidctest.KeyID, jose.SignerOptions{}), idtoken.Signature},
		"that key under no id":                  {sign(jose.RS256, mallory, "", jose.SignerOptions{}), idtoken.Signature},
		"a key of another kind under that id":   {sign(jose.ES256, curve, oidctest.KeyID, jose.SignerOptions{}), idtoken.Signature},
		"a key that the token brings":           {sign(jose.RS256, mallory, oidctest.KeyID, jose.SignerOptions{EmbedJWK: true}), idtoken.Signature},
		"a key that the token says where it is": {sign(jose.RS256, mallory, oidctest.KeyID, elsewhere), idtoken.Signature},
		"another issuer's key":                  {other.Sign, idtoken.Signature},
		"a signature that was taken off":        {func(c map[string]any) string { return body(liar.Sign(c)) + "." }, idtoken.Signature},
		"the signature of another token": {func(c map[string]any) string {
			honest := liar.Sign(c)
			c["sub"] = "repo:acme/evil:ref:refs/heads/main"
			return body(liar.Sign(c)) + strings.TrimPrefix(honest, body(honest))
		}, idtoken.Signature},
	} {
		issuers, err := issuer.New(issuer.Config{Issuers: []string{liar.Issuer}, CAFile: liar.CAFile})
		if err != nil {
			t.Fatal(err)
		}
		made := time.Now().Unix()
		token, err := issuers.Verify(t.Context(), liar.Issuer, audience, tc.make(map[string]any{"iss": liar.Issuer, "aud": audience, "sub": canary, "iat": made, "exp": made + 3600}))
		switch {
		case tc.reason == "" && (err != nil || token.Subject != canary):
			t.Errorf("%s: %+v, %v", name, token, err)
		case tc.reason != "" && (err == nil || idtoken.ReasonOf(err) != tc.reason):
			t.Errorf("%s: got %v, want %s", name, err, tc.reason)
		case tc.reason != "" && (token.Subject != "" || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: %+v, %v", name, token, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("an address that stands in a token was asked %d times", n)
	}
}

func signed(t *testing.T, signer jose.Signer, claims map[string]any) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	made, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := made.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// body is a token without its signature and the dot before it.
func body(raw string) string { return raw[:strings.LastIndexByte(raw, '.')] }
