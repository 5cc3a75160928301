// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// relay stands between the registry and Vault, and notes what nobody else sees: the tokens of pods that logins show to Vault, and those that Vault gives for them.
type relay struct {
	address string
	vault   http.Handler

	mu     sync.Mutex
	shown  map[string]string // :: token of a pod → the pod's name, which it claims
	bought map[string]bool   // :: token of Vault's
}

// relay listens until the test ends, at the address by which this machine reaches Vault; pods reach it there as well.
func (v *vault) relay(t *testing.T) *relay {
	t.Helper()
	target, err := url.Parse(v.Address)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", target.Host)
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(connection.LocalAddr().String())
	_ = connection.Close()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorLog: log.New(io.Discard, "", 0)} // it answers 502 while Vault is stopped
	r := &relay{address: "http://" + listener.Addr().String(), vault: proxy, shown: map[string]string{}, bought: map[string]bool{}}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return r
}

func (r *relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if !strings.HasSuffix(request.URL.Path, "/login") {
		r.vault.ServeHTTP(w, request)
		return
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, "reading the request", http.StatusBadRequest)
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	r.vault.ServeHTTP(answer, request)
	r.note(body, answer.Body.Bytes())
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// note takes over the tokens of a login; what is not there, as in an answer that refuses, is not.
func (r *relay) note(request, answer []byte) {
	var asked struct{ JWT string }
	var got struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	_ = json.Unmarshal(request, &asked)
	_ = json.Unmarshal(answer, &got)
	r.mu.Lock()
	defer r.mu.Unlock()
	if asked.JWT != "" {
		r.shown[asked.JWT] = podOf(asked.JWT)
	}
	if got.Auth.Token != "" {
		r.bought[got.Auth.Token] = true
	}
}

// podOf is the name of the pod that a token is bound to; empty if it is bound to none.
func podOf(token string) string {
	var claims struct {
		Kubernetes struct{ Pod struct{ Name string } } `json:"kubernetes.io"`
	}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if raw, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(raw, &claims)
		}
	}
	return claims.Kubernetes.Pod.Name
}

// pods are the pods that have logged in, sorted, each once.
func (r *relay) pods() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Compact(slices.Sorted(maps.Values(r.shown)))
}

// canaries are what tokens are recognized by: of a pod's the claims and the signature, either of which would tell, of Vault's what follows its prefix.
func (r *relay) canaries() (shown, bought []canary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for token := range r.shown {
		for _, part := range strings.Split(token, ".")[1:] {
			shown = append(shown, canary(part))
		}
	}
	for token := range r.bought {
		bought = append(bought, canary(strings.TrimPrefix(token, "hvs.")))
	}
	return shown, bought
}
