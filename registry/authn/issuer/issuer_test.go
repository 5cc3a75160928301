// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
	"github.com/lanyard-dev/lanyard/registry/authn/issuer"
	"github.com/lanyard-dev/lanyard/registry/authn/oidc/oidctest"
)

const audience = "https://lanyard.example"

func newIssuers(t *testing.T, caFile string, names ...string) *issuer.Issuers {
	t.Helper()
	s, err := issuer.New(issuer.Config{Issuers: names, CAFile: caFile})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claims(iss string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": iss, "aud": audience, "sub": "repo:acme/app:x", "iat": now, "exp": now + 300}
}

func TestTheOperatorSaysWhichIssuersThereMayBe(t *testing.T) {
	inside := []string{
		"https://127.0.0.1", "https://10.1.2.3", "https://172.16.0.1:8443/x", "https://192.168.0.1", "https://169.254.169.254", "https://[::1]", "https://[fd00::1]", "https://[::ffff:10.0.0.1]", "https://0x7f000001", "https://2130706433",
		"http://forge.example", "https://me@forge.example", "https://forge.example?x", "https://forge.example#x", "https://",
	}
	for name, tc := range map[string]struct {
		issuers *issuer.Issuers
		yes, no []string
	}{
		"none":            {newIssuers(t, ""), nil, append(inside, "https://forge.example", issuer.Any)},
		"one":             {newIssuers(t, "", "https://forge.example"), []string{"https://forge.example"}, append(inside, "https://forge.example/", "https://Forge.example", "https://other.example", issuer.Any)},
		"all":             {newIssuers(t, "", issuer.Any), []string{"https://forge.example", "https://forge.example/group/", "https://8.8.8.8"}, append(inside, issuer.Any)},
		"one inside, all": {newIssuers(t, "", issuer.Any, "https://10.1.2.3"), []string{"https://10.1.2.3", "https://forge.example"}, []string{"https://10.1.2.3/x", "https://10.1.2.4"}},
	} {
		for _, i := range tc.yes {
			if err := tc.issuers.CheckIssuer(i); err != nil {
				t.Errorf("%s: %s: %v", name, i, err)
			}
		}
		for _, i := range tc.no {
			if tc.issuers.CheckIssuer(i) == nil {
				t.Errorf("%s: %s may be trusted", name, i)
			}
		}
	}
	if _, err := issuer.New(issuer.Config{Issuers: []string{"http://forge.example"}}); err == nil {
		t.Error("an operator may name one without TLS")
	}
}

// A name that looks like one outside and leads inside is dialled by nobody: the address is judged when the connection is made.
func TestAnIssuerThatIsNotNamedIsNotReachedInside(t *testing.T) {
	liar := oidctest.StartLiar(t)
	asked := count(liar)
	u, err := url.Parse(liar.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	name := "https://localhost:" + u.Port()
	s := newIssuers(t, "", issuer.Any)
	if err := s.CheckIssuer(name); err != nil {
		t.Fatal(err) // else this tests nothing
	}
	_, err = s.Verify(t.Context(), name, audience, liar.Sign(claims(name)))
	if idtoken.ReasonOf(err) != idtoken.Unreachable || !errors.Is(err, egress.ErrDenied) || asked.Load() != 0 {
		t.Errorf("got %v, and it was asked %d times", err, asked.Load())
	}
}

// An issuer that is named says where its keys are: over TLS only, and not at another host inside.
func TestWhereKeysAreIsNotBelievedOfEveryIssuer(t *testing.T) {
	for name, keys := range map[string]string{
		"in clear": "http://127.0.0.1/keys", "inside, elsewhere": "https://10.255.255.1/keys", "a metadata service": "https://169.254.169.254/keys", "a file": "file:///etc/passwd", "nowhere": "",
	} {
		liar := oidctest.StartLiar(t)
		liar.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": liar.Issuer, "jwks_uri": keys})
		})
		_, err := newIssuers(t, liar.CAFile, liar.Issuer).Verify(t.Context(), liar.Issuer, audience, liar.Sign(claims(liar.Issuer)))
		if idtoken.ReasonOf(err) != idtoken.Unreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys are kept; and tokens of unknown keys make the registry ask a few times, not each time. Honest ones are verified all the while.
func TestAnIssuerIsAskedSeldom(t *testing.T) {
	liar := oidctest.StartLiar(t)
	asked := count(liar)
	s := newIssuers(t, liar.CAFile, liar.Issuer)
	for range 5 {
		if _, err := s.Verify(t.Context(), liar.Issuer, audience, liar.Sign(claims(liar.Issuer))); err != nil {
			t.Fatal(err)
		}
	}
	if asked.Load() != 2 { // configuration and keys
		t.Errorf("it was asked %d times", asked.Load())
	}
	for _, aud := range []string{"https://other.example", audience} {
		before := asked.Load()
		for range 50 {
			c := claims(liar.Issuer)
			c["aud"] = aud
			parts := strings.Split(liar.Sign(c), ".")
			if _, err := s.Verify(t.Context(), liar.Issuer, audience, parts[0]+"."+parts[1]+"."+"AAAA"); err == nil {
				t.Fatal("it is believed")
			}
		}
		if more := asked.Load() - before; aud != audience && more != 0 || more > 30 {
			t.Errorf("tokens for %s made the registry ask %d times", aud, more)
		}
	}
	if _, err := s.Verify(t.Context(), liar.Issuer, audience, liar.Sign(claims(liar.Issuer))); err != nil {
		t.Errorf("an honest one: %v", err)
	}
}

// count counts the requests a provider gets from now on.
func count(liar *oidctest.Liar) *atomic.Int64 {
	asked, inner := new(atomic.Int64), liar.Server.Config.Handler
	liar.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		inner.ServeHTTP(w, r)
	})
	return asked
}
