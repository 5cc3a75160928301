// SPDX-License-Identifier: Apache-2.0

package vaultprovider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
)

// podToken is a token as the kubelet gives a pod of a service account of namespace team, for the audience vault. Its signature is nobody's: the API server of the test does not look at it.
func podToken(t *testing.T, account string) redact.Value {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	now := time.Now()
	signed := part(map[string]string{"alg": "ES256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:team:" + account, "aud": []string{"vault"}, "exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": "team", "serviceaccount": map[string]string{"name": account, "uid": "uid-of-" + account}, "pod": map[string]string{"name": account + "-1", "uid": "pod-" + account}},
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return redact.New([]byte(signed + "." + base64.RawURLEncoding.EncodeToString(signature)))
}

// reviewer is an API server that takes every token for what it says.
func reviewer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct {
				Token     string   `json:"token"`
				Audiences []string `json:"audiences"`
			} `json:"spec"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var claims struct {
			Subject string `json:"sub"`
		}
		if parts := strings.Split(review.Spec.Token, "."); len(parts) == 3 {
			raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
			_ = json.Unmarshal(raw, &claims)
		}
		account := claims.Subject[strings.LastIndexByte(claims.Subject, ':')+1:]
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": map[string]any{
			"authenticated": true, "audiences": review.Spec.Audiences,
			"user": map[string]any{"username": claims.Subject, "uid": "uid-of-" + account, "groups": []string{"system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"}},
		}})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestVaultDecidesByThePodsOwnIdentity(t *testing.T) {
	s := start(t)
	s.must(t, "POST", "sys/auth/kubernetes", `{"type":"kubernetes"}`)
	s.must(t, "POST", "auth/kubernetes/config", fmt.Sprintf(`{"kubernetes_host":%q,"token_reviewer_jwt":"reviewer","disable_local_ca_jwt":true}`, reviewer(t)))
	var method struct {
		Data struct{ Accessor string }
	}
	if err := json.Unmarshal(s.must(t, "GET", "sys/auth/kubernetes", ""), &method); err != nil {
		t.Fatal(err)
	}
	s.must(t, "PUT", "sys/policies/acl/by-account", fmt.Sprintf(`{"policy":"path \"kv/data/{{identity.entity.aliases.%s.metadata.service_account_name}}/*\" { capabilities = [\"read\"] }"}`, method.Data.Accessor))
	s.must(t, "POST", "auth/kubernetes/role/pods", `{"bound_service_account_names":["one","two"],"bound_service_account_namespaces":"team","audience":"vault","token_policies":"by-account","token_ttl":"15m"}`)
	s.put(t, "kv/one/db", `{"a":"of one"}`)
	s.put(t, "kv/two/db", `{"a":"of two"}`)

	host := host
	host.TrustedAddresses, host.PodAudiences = []string{s.address()}, []string{"vault"}
	v := open(t, record(t, s.address(), vault.Auth{Method: vault.MethodKubernetes, Mode: vault.ModePassThrough, Role: "pods"}, vault.Credentials{}), host)
	if err := v.Check(t.Context()); err != nil {
		t.Errorf("a check without a pod: %v", err)
	}
	for _, tc := range []struct {
		account, path string
		reason        provider.Reason
	}{
		{"one", "kv/one/db", ""}, {"one", "kv/two/db", provider.ReasonPermission},
		{"two", "kv/two/db", ""}, {"two", "kv/one/db", provider.ReasonPermission},
		{"stranger", "kv/one/db", provider.ReasonCredentials},
	} {
		pod := v.As(podToken(t, tc.account))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		doc, err := pod.Read(ctx, provider.Ref{Path: tc.path})
		cancel()
		e, _ := errors.AsType[*provider.Error](err)
		switch {
		case tc.reason != "" && (e == nil || e.Reason != tc.reason):
			t.Errorf("%s reads %s: %v, want %s", tc.account, tc.path, err, tc.reason)
		case tc.reason == "" && err != nil:
			t.Errorf("%s reads %s: %v", tc.account, tc.path, err)
		case tc.reason == "":
			if value, err := doc.Value("a"); err != nil || string(value.Reveal()) != "of "+tc.account {
				t.Errorf("%s got %q, %v", tc.account, value.Reveal(), err)
			}
		}
		if err := pod.Close(); err != nil {
			t.Error(err)
		}
	}
}
