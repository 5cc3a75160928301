// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

// patience is more than an answer takes on a machine that does much else.
const patience = 30 * time.Second

func read(t testing.TB, v *vault.Vault, path string) (string, *provider.Error) {
	t.Helper()
	return readWithin(t, v, path, patience)
}

func readWithin(t testing.TB, v *vault.Vault, path string, within time.Duration) (string, *provider.Error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	doc, err := v.Read(ctx, provider.Ref{Path: path})
	if err == nil {
		value, err := doc.Value("a")
		if err == nil {
			return string(value.Reveal()), nil
		}
		return "", asError(t, err)
	}
	return "", asError(t, err)
}

func asError(t testing.TB, err error) *provider.Error {
	t.Helper()
	e, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("error %v is not of this module", err)
	}
	return e
}

const canary = "cAnArY-7f3a"

// TestAnswersOfAHostileServer also covers what an honest one says when it is not well. None of it may be repeated in an error or a log.
func TestAnswersOfAHostileServer(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); io.WriteString(w, body) }
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		kind   provider.Kind
		reason provider.Reason
	}{
		"sealed":           {status(503, `{"errors":["Vault is sealed `+canary+`"]}`), provider.KindUnavailable, provider.ReasonSealed},
		"standby":          {status(473, canary), provider.KindUnavailable, provider.ReasonStandby},
		"DR secondary":     {status(472, canary), provider.KindUnavailable, provider.ReasonStandby},
		"no active node":   {status(503, `{"errors":["local node not active but active cluster node not found `+canary+`"]}`), provider.KindUnavailable, provider.ReasonServer},
		"not initialized":  {status(501, canary), provider.KindUnavailable, provider.ReasonServer},
		"internal error":   {status(500, `{"errors":["`+canary+`"]}`), provider.KindUnavailable, provider.ReasonServer},
		"bad gateway":      {status(502, "<html>"+canary), provider.KindUnavailable, provider.ReasonServer},
		"consistency":      {status(412, canary), provider.KindUnavailable, provider.ReasonServer},
		"upgrading":        {status(400, `{"errors":["Upgrading from non-versioned to versioned data. `+canary+`"]}`), provider.KindUnavailable, provider.ReasonServer},
		"bad request":      {status(400, `{"errors":["`+canary+`"]}`), provider.KindInvalid, provider.ReasonRequestRejected},
		"not readable":     {status(405, canary), provider.KindInvalid, provider.ReasonReference},
		"denied":           {status(403, `{"errors":["permission denied `+canary+`"]}`), provider.KindDenied, provider.ReasonPermission},
		"missing":          {status(404, `{"errors":[]}`), provider.KindNotFound, provider.ReasonPath},
		"missing, no JSON": {status(404, canary), provider.KindNotFound, provider.ReasonPath},
		"no content":       {status(204, ""), provider.KindInvalid, provider.ReasonAnswer},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
		}, provider.KindUnavailable, provider.ReasonRedirect},
		"broken JSON":       {status(200, `{"data":{"data":{"a":"`+canary), provider.KindInvalid, provider.ReasonAnswer},
		"HTML":              {status(200, "<html>"+canary), provider.KindInvalid, provider.ReasonAnswer},
		"JSON of a shape":   {status(200, `["`+canary+`"]`), provider.KindInvalid, provider.ReasonAnswer},
		"data of a shape":   {status(200, `{"data":"`+canary+`"}`), provider.KindInvalid, provider.ReasonAnswer},
		"deep JSON":         {status(200, `{"data":`+strings.Repeat(`{"data":`, 50_000)+`"`+canary+`"`+strings.Repeat(`}`, 50_001)), provider.KindInvalid, provider.ReasonAnswer},
		"a wrapped answer":  {status(200, `{"wrap_info":{"token":"`+canary+`"}}`), provider.KindInvalid, provider.ReasonAnswer},
		"a huge answer":     {huge(200), provider.KindInvalid, provider.ReasonAnswerTooLarge},
		"a huge error":      {huge(500), provider.KindUnavailable, provider.ReasonServer},
		"an endless answer": {endless, provider.KindInvalid, provider.ReasonAnswerTooLarge},
		"a gzip bomb":       {bomb, provider.KindInvalid, provider.ReasonAnswer},
		"a cut answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"data":{"a":"`+canary)
		}, provider.KindUnavailable, provider.ReasonUnreachable},
		"a slow answer":       {slow, provider.KindUnavailable, provider.ReasonTimeout},
		"a malformed header":  {hijack("HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n"), provider.KindUnavailable, provider.ReasonUnreachable},
		"a malformed status":  {hijack(canary + "\r\n\r\n"), provider.KindUnavailable, provider.ReasonUnreachable},
		"a closed connection": {hijack(""), provider.KindUnavailable, provider.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := vaulttest.New(t)
			s.Change(func(st *vaulttest.State) {
				st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.HasPrefix(r.URL.Path, "/v1/kv/") {
						return false
					}
					tc.answer(w, r)
					return true
				}
			})
			var logs bytes.Buffer
			host := loopback
			host.Log = slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
			v, err := vault.Open(record(t, s, nil), host)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			within := patience
			if tc.reason == provider.ReasonTimeout {
				within = time.Second
			}
			_, e := readWithin(t, v, "kv/x", within)
			if e == nil || e.Kind != tc.kind || e.Reason != tc.reason {
				t.Fatalf("error = %v, want %v (%s)", e, tc.kind, tc.reason)
			}
			if text := fmt.Sprintf("%v %+v %#v %s", e, e, *e, logs.String()); strings.Contains(text, canary) || strings.Contains(text, "login-token") || strings.Contains(text, "secret-id") {
				t.Errorf("what the server said, or a credential, is repeated: %s", text)
			}
		})
	}
}

func huge(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, `{"data":{"data":{"a":"`)
		for range 200 {
			if _, err := io.WriteString(w, strings.Repeat(canary, 1000)); err != nil {
				return
			}
		}
		io.WriteString(w, `"}}}`)
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := io.WriteString(w, canary); err != nil {
			return
		}
	}
}

func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	w.(http.Flusher).Flush()
	z := gzip.NewWriter(w)
	io.CopyN(z, zeros{}, 8<<20)
	z.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func slow(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, `{"data":{"data":{"a":"`)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func hijack(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err) // HTTP/2: the fake serves HTTP/1.1
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
}

func TestARedirectIsNotFollowedWithTheTokenInHand(t *testing.T) {
	var seen atomic.Int32
	// It has a certificate the provider accepts: only the redirect stands between it and the token.
	attacker := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer attacker.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := vaulttest.New(t)
		var login atomic.Bool
		s.Change(func(st *vaulttest.State) {
			st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if !login.Load() && strings.HasSuffix(r.URL.Path, "/login") {
					return false
				}
				http.Redirect(w, r, attacker.URL+r.URL.Path, code)
				return true
			}
		})
		if _, err := read(t, open(t, record(t, s, nil)), "kv/x"); err == nil || err.Reason != provider.ReasonRedirect {
			t.Errorf("%d: error = %v", code, err)
		}
		login.Store(true)
		if _, err := read(t, open(t, record(t, s, nil)), "kv/x"); err == nil || err.Reason != provider.ReasonRedirect {
			t.Errorf("%d at login: error = %v", code, err)
		}
	}
	if seen.Load() != 0 {
		t.Errorf("the attacker saw %d requests", seen.Load())
	}
}

func TestTheEnvironmentOfTheProcessIsIgnored(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	for name, value := range map[string]string{
		"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_AGENT_ADDR": "https://127.0.0.1:1", "VAULT_TOKEN": "poisoned", "VAULT_NAMESPACE": "poisoned", "VAULT_HEADERS": `{"X-Poisoned":"1"}`,
		"VAULT_PROXY_ADDR": "http://127.0.0.1:1", "VAULT_HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "VAULT_WRAP_TTL": "60", "VAULT_TLS_SERVER_NAME": "poisoned", "VAULT_SKIP_VERIFY": "true",
		"VAULT_MAX_RETRIES": "9", "VAULT_RATE_LIMIT": "0.001:1", "VAULT_CLIENT_TIMEOUT": "1ns", "VAULT_SRV_LOOKUP": "true", "VAULT_DISABLE_REDIRECTS": "false",
	} {
		t.Setenv(name, value)
	}
	if got, err := read(t, open(t, record(t, s, nil)), "kv/x"); err != nil || got != "1" {
		t.Fatalf("%q, %v", got, err)
	}
	s.Change(func(st *vaulttest.State) {
		for header := range st.Seen {
			if strings.Contains(header, "Poisoned") || header == "X-Vault-Namespace" || header == "X-Vault-Wrap-Ttl" || st.Seen.Get(header) == "poisoned" {
				t.Errorf("header %s: %s was sent", header, st.Seen.Get(header))
			}
		}
	})
	// VAULT_SKIP_VERIFY must not switch verification off.
	other := record(t, s, func(c *vault.Config, _ *vault.Credentials) { c.CABundle = authority(t) })
	if _, err := read(t, open(t, other), "kv/x"); err == nil || err.Reason != provider.ReasonTLS {
		t.Errorf("with another authority: %v", err)
	}
}

func TestAFailedRevocationRepeatsNothing(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	s.Change(func(st *vaulttest.State) {
		st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/revoke-self") {
				return false
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"errors":["%s %s"]}`, canary, r.Header.Get("X-Vault-Token"))
			return true
		}
	})
	v := open(t, record(t, s, nil))
	if _, err := read(t, v, "kv/x"); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err == nil || contains(err, canary) || contains(err, "login-token") {
		t.Errorf("error = %v", err)
	}
}

func TestAMalformedVariableOfVaultIsNamedAsTheCause(t *testing.T) {
	s := vaulttest.New(t)
	t.Setenv("VAULT_RATE_LIMIT", "nonsense")
	if _, err := read(t, open(t, record(t, s, nil)), "kv/x"); err == nil || err.Reason != provider.ReasonConfig || !strings.Contains(err.Message, "VAULT_") {
		t.Errorf("error = %v", err)
	}
}

func TestTLSFailsClosedAndSaysWhy(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, tc := range map[string]struct {
		change func(*vault.Config, *vault.Credentials)
		reason provider.Reason
		says   string
	}{
		"another authority":        {func(c *vault.Config, _ *vault.Credentials) { c.CABundle = authority(t) }, provider.ReasonTLS, "authority"},
		"the system's authorities": {func(c *vault.Config, _ *vault.Credentials) { c.CABundle = "" }, provider.ReasonTLS, ""},
		"another server name":      {func(c *vault.Config, _ *vault.Credentials) { c.TLSServerName = "other.test" }, provider.ReasonTLS, "another host"},
		"no TLS there": {func(c *vault.Config, _ *vault.Credentials) {
			c.Address = strings.Replace(plain.URL, "http:", "https:", 1)
		}, provider.ReasonUnreachable, ""},
		"nobody there":   {func(c *vault.Config, _ *vault.Credentials) { c.Address = "https://127.0.0.1:1" }, provider.ReasonUnreachable, "reached"},
		"the right name": {func(c *vault.Config, _ *vault.Credentials) { c.TLSServerName = "example.com" }, "", ""}, // in the certificate of httptest
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, open(t, record(t, s, tc.change)), "kv/x")
			if tc.reason == "" {
				if err != nil || got != "1" {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if err == nil || err.Reason != tc.reason || !strings.Contains(err.Message, tc.says) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestAnAddressTheGuardDeniesIsNotDialled(t *testing.T) {
	s := vaulttest.New(t)
	r := record(t, s, func(c *vault.Config, _ *vault.Credentials) {
		_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.Address(), "https://"))
		c.Address = "https://localhost:" + port
	})
	host := loopback
	guard := *loopback.Egress
	guard.Allow = nil
	host.Egress = &guard
	v, err := vault.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := read(t, v, "kv/x"); err == nil || err.Reason != provider.ReasonAddress || err.Kind != provider.KindInvalid {
		t.Errorf("error = %v", err)
	}
	s.Change(func(st *vaulttest.State) {
		if st.Logins != 0 {
			t.Error("the server saw a login")
		}
	})
}

// authority returns a certificate that signed nothing here.
func authority(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
