// SPDX-License-Identifier: Apache-2.0

package vaultprovider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/providertest"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/store"
)

var host = provider.Host{Egress: &egress.Guard{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}

func record(t *testing.T, address string, auth vault.Auth, credentials vault.Credentials) provider.Record {
	t.Helper()
	config, err := json.Marshal(vault.Config{Address: address, Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := json.Marshal(credentials)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Record{ID: "p1", Name: "real-vault", Type: vault.Name, Config: config, Credentials: redact.New(secret), Revision: 1}
}

func appRole(t *testing.T, s *server) provider.Record {
	return record(t, s.address(), vault.Auth{Method: vault.MethodAppRole, RoleID: roleID}, vault.Credentials{SecretID: secretID})
}

func open(t *testing.T, r provider.Record, host provider.Host) *vault.Vault {
	t.Helper()
	v, err := vault.Open(r, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func read(t *testing.T, v *vault.Vault, path, version string) (string, *provider.Error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	doc, err := v.Read(ctx, provider.Ref{Path: path, Version: version})
	if err != nil {
		e, ok := errors.AsType[*provider.Error](err)
		if !ok {
			t.Fatal(err)
		}
		return "", e
	}
	value, err := doc.Value("a")
	if err != nil {
		t.Fatal(err)
	}
	return string(value.Reveal()), nil
}

func TestConformance(t *testing.T) {
	for _, mount := range []string{"kv/", "kv1/"} {
		t.Run(mount, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Harness {
				s := start(t)
				kept := map[string]string{}
				put := func(t *testing.T, path, object string) {
					kept[path] = object
					s.put(t, path, object)
				}
				put(t, mount+"denied/x", `{"a":"1"}`)
				return providertest.Harness{
					Type: vault.Type(), Host: host, Record: appRole(t, s),
					Path: func(name string) string { return mount + name }, Put: put, Denied: mount + "denied/x",
					Throttle: func(t *testing.T) func() {
						s.must(t, "POST", "sys/quotas/config", `{"enable_rate_limit_response_headers":true}`)
						s.must(t, "POST", "sys/quotas/rate-limit/e2e", fmt.Sprintf(`{"path":%q,"rate":1,"interval":"2s"}`, mount))
						return func() { s.must(t, "DELETE", "sys/quotas/rate-limit/e2e", "") }
					},
					// The process dies, and another one takes its place: the provider's token and the mounts it knew are gone.
					Break: func(t *testing.T) func() {
						s.down(t)
						return func() {
							s.up(t)
							for path, object := range kept {
								s.put(t, path, object)
							}
						}
					},
					Stall: func(t *testing.T) func() {
						s.signal(t, syscall.SIGSTOP)
						return func() { s.signal(t, syscall.SIGCONT) }
					},
					EndTokens: func(t *testing.T) { s.must(t, "PUT", "sys/leases/revoke-prefix/auth/approle/login", "") },
				}
			})
		})
	}
}

func TestBothFormsOfAPathAndPinnedVersions(t *testing.T) {
	s := start(t)
	s.put(t, "kv/prod/x", `{"a":"one"}`)
	s.put(t, "kv/prod/x", `{"a":"two"}`)
	s.put(t, "kv/prod/x", `{"a":"three"}`)
	s.put(t, "kv1/data/x", `{"a":"version 1"}`)
	s.put(t, "kv/with space/ünïcode+@:,x", `{"a":"odd"}`)
	v := open(t, appRole(t, s), host)
	for _, tc := range []struct{ path, version, want string }{
		{"kv/prod/x", "", "three"}, {"kv/data/prod/x", "", "three"}, {"kv/prod/x", "1", "one"}, {"kv/data/prod/x", "2", "two"}, {"kv1/data/x", "", "version 1"}, {"kv/with space/ünïcode+@:,x", "", "odd"},
	} {
		if got, err := read(t, v, tc.path, tc.version); err != nil || got != tc.want {
			t.Errorf("%s version %q = %q, %v; want %q", tc.path, tc.version, got, err, tc.want)
		}
	}
	s.must(t, "POST", "kv/delete/prod/x", `{"versions":[1,3]}`)
	s.must(t, "PUT", "kv/destroy/prod/x", `{"versions":[2]}`)
	for version, want := range map[string]string{"": "was deleted", "1": "was deleted", "2": "was destroyed"} {
		if _, err := read(t, v, "kv/prod/x", version); err == nil || err.Reason != provider.ReasonVersion || !strings.Contains(err.Message, want) {
			t.Errorf("version %q: %v", version, err)
		}
	}
	for path, want := range map[string]provider.Reason{
		"nowhere/x": provider.ReasonPermission, "kv/nothing": provider.ReasonPath, "kv": provider.ReasonReference, "kv1/nothing": provider.ReasonPath, "kv/denied/x": provider.ReasonPermission,
	} {
		if _, err := read(t, v, path, ""); err == nil || err.Reason != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, err := read(t, v, "kv/prod/x", "9"); err == nil || err.Kind != provider.KindNotFound {
		t.Errorf("a version that never was: %v", err)
	}
}

func TestTokensOfEveryKind(t *testing.T) {
	s := start(t)
	s.put(t, "kv/x", `{"a":"1"}`)
	static := func(token string) *vault.Vault {
		return open(t, record(t, s.address(), vault.Auth{Method: vault.MethodToken}, vault.Credentials{Token: token}), host)
	}
	for name, token := range map[string]string{
		"root": s.root, "with a policy": s.token(t, `{"policies":["reader"],"ttl":"1h"}`), "without the default policy": s.token(t, `{"policies":["reader"],"no_default_policy":true}`),
		"batch": s.token(t, `{"policies":["reader"],"type":"batch","ttl":"1h"}`),
	} {
		if got, err := read(t, static(token), "kv/x", ""); err != nil || got != "1" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	periodic := s.token(t, `{"policies":["reader"],"period":"3s"}`)
	v := static(periodic)
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); { // two lives and more
		if got, err := read(t, v, "kv/x", ""); err != nil || got != "1" {
			t.Fatalf("a periodic token was not renewed: %q, %v", got, err)
		}
		pause(t, 200*time.Millisecond)
	}
	s.must(t, "POST", "auth/token/revoke", fmt.Sprintf(`{"token":%q}`, periodic))
	if _, err := read(t, v, "kv/x", ""); err == nil || err.Reason != provider.ReasonCredentials {
		t.Errorf("a revoked token: %v", err)
	}
	if _, err := read(t, static("nonsense"), "kv/x", ""); err == nil || err.Reason != provider.ReasonCredentials {
		t.Errorf("a token nobody knows: %v", err)
	}
}

// pause spaces out the reads of a test that must outlast a token's life: Vault's clock cannot be moved.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func TestShortLivedLoginsNeverFailARead(t *testing.T) {
	s := start(t)
	s.put(t, "kv/x", `{"a":"1"}`)
	s.role(t, "2s", "4s") // renewed once or twice, then replaced
	v := open(t, appRole(t, s), host)
	for end := time.Now().Add(9 * time.Second); time.Now().Before(end); {
		if got, err := read(t, v, "kv/x", ""); err != nil || got != "1" {
			t.Fatalf("%q, %v", got, err)
		}
		pause(t, 50*time.Millisecond)
	}
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWrongCredentials(t *testing.T) {
	s := start(t)
	for name, r := range map[string]provider.Record{
		"a wrong secret id": record(t, s.address(), vault.Auth{Method: vault.MethodAppRole, RoleID: roleID}, vault.Credentials{SecretID: "wrong"}),
		"a wrong role id":   record(t, s.address(), vault.Auth{Method: vault.MethodAppRole, RoleID: "wrong"}, vault.Credentials{SecretID: secretID}),
		"a wrong mount":     record(t, s.address(), vault.Auth{Method: vault.MethodAppRole, RoleID: roleID, Mount: "nowhere"}, vault.Credentials{SecretID: secretID}),
		"a wrong jwt mount": record(t, s.address(), vault.Auth{Method: vault.MethodJWT, Role: "x"}, vault.Credentials{JWT: "a.b.c"}),
	} {
		v := open(t, r, host)
		if _, err := read(t, v, "kv/x", ""); err == nil || err.Kind != provider.KindDenied || err.Reason != provider.ReasonCredentials {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.Check(t.Context()); err == nil {
			t.Errorf("%s: the check succeeded", name)
		}
	}
}

func TestSealed(t *testing.T) {
	s := start(t)
	s.put(t, "kv/x", `{"a":"1"}`)
	v := open(t, appRole(t, s), host)
	if _, err := read(t, v, "kv/x", ""); err != nil {
		t.Fatal(err)
	}
	s.must(t, "PUT", "sys/seal", "")
	if _, err := read(t, v, "kv/x", ""); err == nil || err.Kind != provider.KindUnavailable || err.Reason != provider.ReasonSealed {
		t.Errorf("a read: %v", err)
	}
	if _, err := read(t, open(t, appRole(t, s), host), "kv/x", ""); err == nil || err.Reason != provider.ReasonSealed {
		t.Errorf("a login: %v", err)
	}
	s.down(t)
	s.up(t)
	s.put(t, "kv/x", `{"a":"2"}`)
	if got, err := read(t, v, "kv/x", ""); err != nil || got != "2" {
		t.Errorf("after it came back unsealed: %q, %v", got, err)
	}
}

// TestKubernetesLogin has the real method ask a stand-in for the API server about the token.
func TestKubernetesLogin(t *testing.T) {
	s := start(t)
	s.put(t, "kv/x", `{"a":"1"}`)
	now := time.Now().Unix()
	claims := fmt.Sprintf(`{"iss":"kubernetes/serviceaccount","aud":["vault"],"iat":%d,"nbf":%d,"exp":%d,"sub":"system:serviceaccount:lanyard:registry","kubernetes.io":{"namespace":"lanyard","serviceaccount":{"name":"registry","uid":"u1"}}}`, now, now, now+600)
	jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct{ Token string }
		}
		genuine := json.NewDecoder(r.Body).Decode(&review) == nil && review.Spec.Token == jwt
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"authenticated":%t,"audiences":["vault"],"user":{"username":"system:serviceaccount:lanyard:registry","uid":"u1","groups":["system:serviceaccounts"]}}}`, genuine)
	}))
	defer api.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))
	s.must(t, "POST", "sys/auth/k8s", `{"type":"kubernetes"}`)
	config, _ := json.Marshal(map[string]any{"kubernetes_host": api.URL, "kubernetes_ca_cert": ca, "token_reviewer_jwt": jwt, "disable_iss_validation": true})
	s.must(t, "POST", "auth/k8s/config", string(config))
	s.must(t, "POST", "auth/k8s/role/lanyard", `{"bound_service_account_names":"registry","bound_service_account_namespaces":"lanyard","audience":"vault","token_policies":"reader"}`)

	trusting := host
	trusting.TrustedAddresses = []string{s.address()}
	token := jwt
	trusting.ServiceAccountToken = func(context.Context, string) (redact.Value, error) { return redact.New([]byte(token)), nil }
	r := record(t, s.address(), vault.Auth{Method: vault.MethodKubernetes, Role: "lanyard", Mount: "k8s"}, vault.Credentials{})
	if got, err := read(t, open(t, r, trusting), "kv/x", ""); err != nil || got != "1" {
		t.Errorf("%q, %v", got, err)
	}
	token = strings.Replace(jwt, base64.RawURLEncoding.EncodeToString([]byte("signature")), "Zm9yZ2Vk", 1)
	if _, err := read(t, open(t, r, trusting), "kv/x", ""); err == nil || err.Reason != provider.ReasonCredentials {
		t.Errorf("a forged token: %v", err)
	}
}

// TestAThousandStartsOnOnePath counts what a thousand pods that start together cost a real Vault.
func TestAThousandStartsOnOnePath(t *testing.T) {
	s := start(t)
	s.put(t, "kv/shared", `{"a":"1"}`)
	target, _ := url.Parse(s.address())
	proxy := httputil.NewSingleHostReverseProxy(target)
	counted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/kv/") {
			s.reads.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer counted.Close()
	r := record(t, counted.URL, vault.Auth{Method: vault.MethodAppRole, RoleID: roleID}, vault.Credentials{SecretID: secretID})
	m, err := provider.NewManager(provider.Config{Records: one(r), Types: []provider.Type{vault.Type()}, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	began := time.Now()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			v, err := m.Fetch(t.Context(), "org", store.Remote{ProviderID: "p1", Path: "kv/shared", Key: "a"})
			if err != nil || string(v.Reveal()) != "1" {
				t.Errorf("%q, %v", v.Reveal(), err)
			}
		})
	}
	all.Wait()
	t.Logf("1,000 concurrent starts on one path: %d reads of Vault in %v", s.reads.Load(), time.Since(began).Round(time.Millisecond))
	if s.reads.Load() > 20 {
		t.Errorf("%d reads", s.reads.Load())
	}
}

type one provider.Record

func (r one) Record(context.Context, string, string) (provider.Record, error) {
	return provider.Record(r), nil
}

func (r one) All(context.Context) ([]provider.Key, error) { return nil, nil }
