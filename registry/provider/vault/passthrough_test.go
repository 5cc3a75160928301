// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

// passThrough is the record of a provider that is read with pods' identities, and the host that allows it.
func passThrough(t *testing.T, s *vaulttest.Server, change func(*vault.Config, *vault.Credentials)) (provider.Record, provider.Host) {
	t.Helper()
	host := loopback
	host.TrustedAddresses, host.PodAudiences = []string{s.Address()}, []string{"vault", "https://vault.example"}
	return record(t, s, func(c *vault.Config, k *vault.Credentials) {
		c.Auth = vault.Auth{Method: vault.MethodKubernetes, Mode: vault.ModePassThrough, Role: "app"}
		*k = vault.Credentials{}
		if change != nil {
			change(c, k)
		}
	}), host
}

func TestEachPodLogsInForItself(t *testing.T) {
	s := vaulttest.New(t)
	s.Put("kv/x", `{"a":"1"}`)
	s.Put("kv/y", `{"a":"2"}`)
	r, host := passThrough(t, s, nil)
	v, err := vault.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := v.Read(t.Context(), provider.Ref{Path: "kv/x"}); !reasonIs(err, provider.ReasonPodRequired) {
		t.Errorf("without a pod: %v", err)
	}
	for i, token := range []string{"jwt-of-one", "jwt-of-two"} {
		pod := v.As(redact.New([]byte(token)))
		for _, path := range []string{"kv/x", "kv/y"} {
			if _, err := pod.Read(t.Context(), provider.Ref{Path: path}); err != nil {
				t.Fatal(err)
			}
		}
		if err := pod.Close(); err != nil {
			t.Error(err)
		}
		s.Change(func(st *vaulttest.State) {
			if st.LoginBody["jwt"] != token || st.LoginBody["role"] != "app" {
				t.Errorf("the pod logged in with role %q", st.LoginBody["role"])
			}
			if st.Logins != i+1 || st.Revoked != i+1 {
				t.Errorf("%d logins, of which %d were ended, after %d pods", st.Logins, st.Revoked, i+1)
			}
		})
	}
}

func TestARefusedPodIsToldApartFromADeniedPath(t *testing.T) {
	s := vaulttest.New(t)
	s.Change(func(st *vaulttest.State) { st.Denied["kv/x"] = true })
	r, host := passThrough(t, s, nil)
	v, err := vault.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for token, want := range map[string]provider.Reason{"wrong": provider.ReasonCredentials, "right": provider.ReasonPermission} {
		pod := v.As(redact.New([]byte(token)))
		_, err := pod.Read(t.Context(), provider.Ref{Path: "kv/x"})
		if !reasonIs(err, want) || strings.Contains(err.Error(), token) {
			t.Errorf("%v, want %s and nothing of the token", err, want)
		}
		_ = pod.Close()
	}
}

func TestALeaseOutlivesTheLoginOfItsPod(t *testing.T) {
	s := vaulttest.New(t)
	r, host := passThrough(t, s, nil)
	v, err := vault.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	pod := v.As(redact.New([]byte("jwt")))
	doc, err := pod.Read(t.Context(), provider.Ref{Path: "database/creds/app"})
	if err != nil || doc.Lease == nil {
		t.Fatalf("%v, %v", doc.Lease, err)
	}
	if err := pod.Close(); err != nil {
		t.Fatal(err)
	}
	s.Change(func(st *vaulttest.State) {
		if st.Revoked != 0 {
			t.Error("the login was revoked, and the pod's credentials with it")
		}
	})
	if _, err := v.Renew(t.Context(), doc.Lease.Handle, time.Hour); err != nil {
		t.Error(err)
	}
	s.Change(func(st *vaulttest.State) { st.NoRevoke = true })
	if err := v.Revoke(t.Context(), doc.Lease.Handle); !reasonIs(err, provider.ReasonPermission) {
		t.Errorf("a denied revocation: %v", err)
	}
	s.Change(func(st *vaulttest.State) { st.NoRevoke = false })
	if err := v.Revoke(t.Context(), doc.Lease.Handle); err != nil {
		t.Error(err)
	}
}

func TestACheckWithoutAPodAsksForTheHealthAlone(t *testing.T) {
	s := vaulttest.New(t)
	r, host := passThrough(t, s, func(c *vault.Config, _ *vault.Credentials) { c.Namespace = "team" })
	v, err := vault.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	status := http.StatusOK
	s.Change(func(st *vaulttest.State) {
		st.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/sys/health" || r.Header.Get("X-Vault-Token") != "" || r.Header.Get("X-Vault-Namespace") != "" || r.URL.Query().Get("standbyok") != "true" {
				t.Errorf("asked %s, in namespace %q", r.URL, r.Header.Get("X-Vault-Namespace"))
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"initialized":true,"sealed":true}`))
			return true
		}
	})
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s.Change(func(*vaulttest.State) { status = http.StatusServiceUnavailable })
	if err := v.Check(t.Context()); !reasonIs(err, provider.ReasonSealed) {
		t.Errorf("a sealed Vault: %v", err)
	}
}

func TestWhoMayAskPodsForTokensIsTheOperatorsToSay(t *testing.T) {
	s := vaulttest.New(t)
	for name, tc := range map[string]struct {
		change func(*vault.Config, *vault.Credentials)
		host   func(*provider.Host)
		record func(*provider.Record)
		says   string
	}{
		"a server nobody trusts":      {host: func(h *provider.Host) { h.TrustedAddresses = nil }, says: "config.auth.mode: "},
		"an audience nobody allows":   {change: func(c *vault.Config, _ *vault.Credentials) { c.Auth.Audience = "sts.amazonaws.com" }, says: "config.auth.audience: "},
		"another method":              {change: func(c *vault.Config, _ *vault.Credentials) { c.Auth.Method = vault.MethodToken }, says: "config.auth.mode: "},
		"another mode":                {change: func(c *vault.Config, _ *vault.Credentials) { c.Auth.Mode = "through" }, says: "config.auth.mode: "},
		"no role":                     {change: func(c *vault.Config, _ *vault.Credentials) { c.Auth.Role = "" }, says: "config.auth.role: "},
		"credentials of another kind": {change: func(_ *vault.Config, k *vault.Credentials) { k.JWT = "x" }, says: "credentials.jwt: "},
		"last known good values":      {record: func(r *provider.Record) { r.LastKnownGood = time.Hour }, says: "last_known_good: "},
		"nothing":                     {},
		"an audience that is allowed": {change: func(c *vault.Config, _ *vault.Credentials) { c.Auth.Audience = "https://vault.example" }},
		"jwt without a role": {change: func(c *vault.Config, _ *vault.Credentials) {
			c.Auth = vault.Auth{Method: vault.MethodJWT, Mode: vault.ModePassThrough}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, host := passThrough(t, s, tc.change)
			if tc.host != nil {
				tc.host(&host)
			}
			if tc.record != nil {
				tc.record(&r)
			}
			switch err := vault.Type().Validate(r, host); {
			case tc.says == "" && err != nil:
				t.Error(err)
			case tc.says != "" && (!reasonIs(err, provider.ReasonConfig) || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("%v, want one about %s", err, tc.says)
			}
		})
	}
}

func TestTheAudienceOfARecordIsKnownWithoutOpeningIt(t *testing.T) {
	for config, want := range map[string]string{
		`{"auth":{"method":"kubernetes","mode":"passthrough"}}`:                        "vault",
		`{"auth":{"method":"kubernetes","mode":"passthrough","audience":"elsewhere"}}`: "elsewhere",
		`{"auth":{"method":"kubernetes","audience":"elsewhere"}}`:                      "",
		`{"auth":7}`: "", ``: "",
	} {
		if got := vault.Type().Audience([]byte(config)); got != want {
			t.Errorf("%s: %q, want %q", config, got, want)
		}
	}
}

func reasonIs(err error, want provider.Reason) bool {
	e, ok := errors.AsType[*provider.Error](err)
	return ok && e.Reason == want
}
