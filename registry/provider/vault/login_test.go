// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

// eventually polls what happens in the background of a provider, on real timers.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("it never happened that %s", what)
		case <-poll.C:
		}
	}
}

func count(s *vaulttest.Server, of func(*vaulttest.State) int) (n int) {
	s.Change(func(st *vaulttest.State) { n = of(st) })
	return n
}

func logins(st *vaulttest.State) int { return st.Logins }

func TestManyReadsShareOneLogin(t *testing.T) {
	s := vaulttest.New(t)
	for i := range 50 {
		s.Put(fmt.Sprint("kv/", i), `{"a":"1"}`)
	}
	v := open(t, record(t, s, nil))
	all := func() {
		var wait sync.WaitGroup
		for i := range 50 {
			wait.Go(func() {
				if got, err := read(t, v, fmt.Sprint("kv/", i)); err != nil || got != "1" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		wait.Wait()
	}
	all()
	if n := count(s, logins); n != 1 {
		t.Errorf("%d logins for 50 reads", n)
	}
	s.Change(func(st *vaulttest.State) { st.Tokens = map[string]time.Time{} })
	all()
	if n := count(s, logins); n != 2 {
		t.Errorf("%d logins after the token was revoked, want exactly one more", n)
	}
}

func TestADenialIsNotFinalWhileTheTokenCannotBeLookedAt(t *testing.T) {
	s := vaulttest.New(t)
	s.Change(func(st *vaulttest.State) {
		st.Denied["kv/x"] = true
		st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/lookup-self") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
	})
	if _, err := read(t, open(t, record(t, s, nil)), "kv/x"); err == nil || err.Kind != provider.KindUnavailable {
		t.Errorf("error = %v", err)
	}
}

func TestACheckNeedsNoPolicy(t *testing.T) {
	s := vaulttest.New(t)
	s.Change(func(st *vaulttest.State) { st.NoLookupSelf = true })
	if err := open(t, record(t, s, nil)).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestADenialIsNotTakenForARevokedToken(t *testing.T) {
	s := vaulttest.New(t)
	s.Change(func(st *vaulttest.State) { st.Denied["kv/x"] = true })
	v := open(t, record(t, s, nil))
	for range 5 {
		if _, err := read(t, v, "kv/x"); err == nil || err.Reason != provider.ReasonPermission {
			t.Fatal(err)
		}
	}
	if n := count(s, logins); n != 1 {
		t.Errorf("%d logins", n)
	}
	s.Change(func(st *vaulttest.State) { st.NoLookupSelf = true })
	if _, err := read(t, v, "kv/x"); err == nil || err.Reason != provider.ReasonPermission {
		t.Fatal(err)
	}
	if n := count(s, logins); n != 2 {
		t.Errorf("%d logins; a token that may not be asked about is replaced once for each denial", n)
	}
}

func TestTokensAreRenewedAheadOfTheirEnd(t *testing.T) {
	t.Parallel()
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	s.Change(func(st *vaulttest.State) { st.TTL = 2 * time.Second })
	v := open(t, record(t, s, nil))
	if _, err := read(t, v, "kv/x"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token was renewed twice", func() bool { return count(s, func(st *vaulttest.State) int { return st.Renewals }) >= 2 })
	if n := count(s, logins); n != 1 {
		t.Errorf("%d logins", n)
	}
	s.Change(func(st *vaulttest.State) { st.Renewable = false })
	eventually(t, "a token that cannot be renewed was replaced", func() bool { return count(s, logins) >= 2 })
	if _, err := read(t, v, "kv/x"); err != nil {
		t.Fatal(err)
	}
}

func TestAnEndedTokenIsReplacedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	s.Change(func(st *vaulttest.State) { st.TTL, st.Renewable = time.Second, false })
	v := open(t, record(t, s, nil))
	end := time.Now().Add(2500 * time.Millisecond)
	eventually(t, "the time was over", func() bool {
		if got, err := read(t, v, "kv/x"); err != nil || got != "1" {
			t.Fatalf("%q, %v", got, err)
		}
		return time.Now().After(end)
	})
}

func TestAStaticTokenIsRenewedAndItsEndIsTold(t *testing.T) {
	t.Parallel()
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	s.Change(func(st *vaulttest.State) {
		st.TTL = 3 * time.Second
		st.Tokens["periodic"] = time.Now().Add(3 * time.Second)
	})
	v := open(t, record(t, s, func(c *vault.Config, k *vault.Credentials) {
		c.Auth = vault.Auth{Method: vault.MethodToken}
		*k = vault.Credentials{Token: "periodic"}
	}))
	if _, err := read(t, v, "kv/x"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token was renewed", func() bool { return count(s, func(st *vaulttest.State) int { return st.Renewals }) >= 1 })
	s.Change(func(st *vaulttest.State) { delete(st.Tokens, "periodic") })
	if _, err := read(t, v, "kv/x"); err == nil || err.Reason != provider.ReasonCredentials || err.Kind != provider.KindDenied {
		t.Errorf("after it was revoked: %v", err)
	}
	v.Close()
	if n := count(s, func(st *vaulttest.State) int { return st.Revoked }); n != 0 {
		t.Error("a token that is not ours was revoked")
	}
}

func TestCloseRevokesOnlyWhatNobodyLivesOn(t *testing.T) {
	revoked := func(st *vaulttest.State) int { return st.Revoked }
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	v := open(t, record(t, s, nil))
	_, _ = read(t, v, "kv/x")
	if err := v.Close(); err != nil || count(s, revoked) != 1 {
		t.Errorf("closing: %v; %d tokens revoked", err, count(s, revoked))
	}
	if _, err := read(t, v, "kv/x"); err == nil || err.Reason != provider.ReasonClosed {
		t.Errorf("a read after closing: %v", err)
	}
	v = open(t, record(t, s, nil))
	if _, err := v.Read(t.Context(), provider.Ref{Path: "database/creds/app"}); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil || count(s, revoked) != 1 {
		t.Errorf("closing: %v; the token that a lease depends on was revoked", err)
	}
}

func TestRefusedCredentialsAreSaidToBeThat(t *testing.T) {
	s := vaulttest.New(t)
	v := open(t, record(t, s, func(_ *vault.Config, k *vault.Credentials) { k.SecretID = "wrong" }))
	for range 20 {
		if _, err := read(t, v, "kv/x"); err == nil || err.Reason != provider.ReasonCredentials || err.Kind != provider.KindDenied {
			t.Fatalf("error = %v", err)
		}
	}
	if n := count(s, logins); n > 2 {
		t.Errorf("%d logins with credentials that were refused", n)
	}
	if err := v.Check(t.Context()); err == nil {
		t.Error("the check succeeded")
	}
}

func TestTheRegistrysServiceAccountIsShownToTrustedServersOnly(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	file := filepath.Join(t.TempDir(), "token")
	jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"aud":["vault"]}`)) + ".sig"
	if err := os.WriteFile(file, []byte(jwt+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, method := range []vault.Method{vault.MethodKubernetes, vault.MethodJWT} {
		r := record(t, s, func(c *vault.Config, k *vault.Credentials) {
			c.Auth = vault.Auth{Method: method, Role: "lanyard", Mount: "k8s/prod/"}
			*k = vault.Credentials{}
		})
		if _, err := vault.Open(r, loopback); err == nil {
			t.Errorf("%s: a server nobody trusts is accepted", method)
		}
		host := loopback
		host.ServiceAccountToken = provider.TokenFile(file, "vault")
		if _, err := vault.Open(r, host); err == nil {
			t.Errorf("%s: a server the operator does not list is accepted", method)
		}
		host.TrustedAddresses = []string{s.Address()}
		v, err := vault.Open(r, host)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, v, "kv/x"); err != nil || got != "1" {
			t.Errorf("%s: %q, %v", method, got, err)
		}
		v.Close()
		s.Change(func(st *vaulttest.State) {
			if st.LoginBody["jwt"] != jwt || st.LoginBody["role"] != "lanyard" {
				t.Errorf("%s: logged in with role %q", method, st.LoginBody["role"])
			}
		})
	}
}

func TestTokenFileHandsOutTokensOfOneAudienceOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for payload, want := range map[string]bool{
		`{"aud":["vault"]}`: true, `{"aud":"vault"}`: true, `{"aud":["vault","https://kubernetes.default.svc"]}`: false, `{"aud":["https://kubernetes.default.svc"]}`: false,
		`{"aud":[]}`: false, `{}`: false, `{"aud":{"vault":1}}`: false, `null`: false,
	} {
		token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".sig"
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := provider.TokenFile(file, "vault")(t.Context(), "vault"); (err == nil) != want {
			t.Errorf("%s: error = %v", payload, err)
		}
	}
	if _, err := provider.TokenFile(file, "vault")(t.Context(), "https://kubernetes.default.svc"); err == nil {
		t.Error("a token was handed out for another audience")
	}
}

func TestAVaultBehindAGatewayHasAPath(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	target, err := url.Parse(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	inner := http.DefaultTransport.(*http.Transport).Clone()
	inner.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // the gateway of a test
	proxy.Transport = inner
	gateway := httptest.NewTLSServer(http.StripPrefix("/vault/prod", proxy))
	defer gateway.Close()
	defer inner.CloseIdleConnections()
	v := open(t, record(t, s, func(c *vault.Config, _ *vault.Credentials) {
		c.Address = gateway.URL + "/vault/prod/"
		c.CABundle = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gateway.Certificate().Raw}))
	}))
	if got, err := read(t, v, "kv/x"); err != nil || got != "1" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestANamespaceIsSentWithEveryRequest(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	v := open(t, record(t, s, func(c *vault.Config, _ *vault.Credentials) { c.Namespace = "team/a/" }))
	if _, err := read(t, v, "kv/x"); err != nil {
		t.Fatal(err)
	}
	s.Change(func(st *vaulttest.State) {
		if got := st.Seen.Get("X-Vault-Namespace"); got != "team/a" {
			t.Errorf("namespace %q", got)
		}
	})
}

func TestARecordMustBeWholeAndPlain(t *testing.T) {
	s := vaulttest.New(t)
	for name, change := range map[string]func(*vault.Config, *vault.Credentials){
		"an address with a password": func(c *vault.Config, _ *vault.Credentials) { c.Address = "https://u:" + canary + "@127.0.0.1" },
		"http":                       func(c *vault.Config, _ *vault.Credentials) { c.Address = "http://127.0.0.1:8200" },
		"no method":                  func(c *vault.Config, _ *vault.Credentials) { c.Auth.Method = "" },
		"another method":             func(c *vault.Config, _ *vault.Credentials) { c.Auth.Method = "userpass" },
		"no role id":                 func(c *vault.Config, _ *vault.Credentials) { c.Auth.RoleID = "" },
		"a token that is not used":   func(_ *vault.Config, k *vault.Credentials) { k.Token = canary },
		"a token with a newline": func(c *vault.Config, k *vault.Credentials) {
			c.Auth.Method = "token"
			*k = vault.Credentials{Token: canary + "\nX: y"}
		},
		"no token": func(c *vault.Config, k *vault.Credentials) { c.Auth.Method = "token"; *k = vault.Credentials{} },
		"kubernetes without a role": func(c *vault.Config, k *vault.Credentials) {
			c.Auth = vault.Auth{Method: "kubernetes"}
			*k = vault.Credentials{}
		},
		"a CA that is none":            func(c *vault.Config, _ *vault.Credentials) { c.CABundle = canary },
		"a namespace that climbs":      func(c *vault.Config, _ *vault.Credentials) { c.Namespace = "../root" },
		"a method's mount that climbs": func(c *vault.Config, _ *vault.Credentials) { c.Auth.Mount = "approle/../token" },
		"a declared mount of Vault's own": func(c *vault.Config, _ *vault.Credentials) {
			c.Mounts = []vault.Mount{{Path: "auth", Engine: "dynamic"}}
		},
		"a declared mount without an engine": func(c *vault.Config, _ *vault.Credentials) { c.Mounts = []vault.Mount{{Path: "kv"}} },
	} {
		err := vault.Type().Validate(record(t, s, change), loopback)
		if err == nil || asError(t, err).Kind != provider.KindInvalid || contains(err, canary) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	for name, change := range map[string]func(*provider.Record){
		"an unknown field":         func(r *provider.Record) { r.Config = []byte(`{"adrs":"https://x"}`) },
		"no JSON":                  func(r *provider.Record) { r.Config = []byte(canary) },
		"two texts":                func(r *provider.Record) { r.Config = append(r.Config, "{}"...) },
		"credentials without JSON": func(r *provider.Record) { r.Credentials = redact.New([]byte(canary)) },
		"an unknown credential":    func(r *provider.Record) { r.Credentials = redact.New([]byte(`{"` + canary + `":"x"}`)) },
		"an empty prefix":          func(r *provider.Record) { r.AllowedPrefixes = []string{""} },
		"a prefix that climbs":     func(r *provider.Record) { r.AllowedPrefixes = []string{"kv/../x"} },
	} {
		r := record(t, s, nil)
		change(&r)
		err := vault.Type().Validate(r, loopback)
		if err == nil || asError(t, err).Kind != provider.KindInvalid || contains(err, canary) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	if err := vault.Type().Validate(record(t, s, nil), loopback); err != nil {
		t.Error(err)
	}
}
