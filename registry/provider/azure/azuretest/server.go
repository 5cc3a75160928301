// SPDX-License-Identifier: Apache-2.0

// Package azuretest is a fake of Key Vault and of the token endpoint of Entra ID at the wire, for tests that need faults the real ones do not produce on request. It serves TLS on loopback.
package azuretest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Server is the fake. Its exported fields may be changed under [Server.Change] while it serves.
type Server struct {
	http *httptest.Server

	mu sync.Mutex
	State
}

// State is what tests arrange and look at.
type State struct {
	// Fault, if set, sees each request first and reports whether it answered.
	Fault func(w http.ResponseWriter, r *http.Request) bool
	// Secrets :: name in lower case → version → value; the version "" is the newest.
	Secrets map[string]map[string]string
	// Denied names answer 403 with the cause they have here.
	Denied map[string]string
	// Tokens that are accepted.
	Tokens map[string]bool
	// Logins and Reads count.
	Logins, Reads int
	// Form is the last request for a token.
	Form url.Values
}

// What the fake accepts.
const (
	Tenant       = "11111111-2222-3333-4444-555555555555"
	Client       = "66666666-7777-8888-9999-000000000000"
	ClientSecret = "client~secret"
)

// New starts a server that stops with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{State: State{Secrets: map[string]map[string]string{}, Denied: map[string]string{}, Tokens: map[string]bool{}}}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.EnableHTTP2 = true
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what some tests are about
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	return s
}

// Address is where it serves both.
func (s *Server) Address() string { return s.http.URL }

// CABundle is the certificate, in PEM, that its own is signed by.
func (s *Server) CABundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw}))
}

// Change runs f while nothing is being served.
func (s *Server) Change(f func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.State)
}

// Put writes a version of a secret and makes it the newest.
func (s *Server) Put(name, version, value string) {
	s.Change(func(st *State) {
		if st.Secrets[name] == nil {
			st.Secrets[name] = map[string]string{}
		}
		st.Secrets[name][version], st.Secrets[name][""] = value, value
	})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if fault := s.Fault; fault != nil {
		s.mu.Unlock()
		if fault(w, r) {
			return
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	rest, isSecret := strings.CutPrefix(r.URL.Path, "/secrets/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/"+Tenant+"/oauth2/v2.0/token":
		s.login(w, r)
	case !s.Tokens[token]:
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.example/t", resource="https://management.example"`)
		Fail(w, http.StatusUnauthorized, "Unauthorized", "")
	case r.Method == http.MethodGet && r.URL.Path == "/secrets":
		Fail(w, http.StatusForbidden, "Forbidden", "ForbiddenByRbac")
	case r.Method == http.MethodGet && isSecret && r.URL.Query().Get("api-version") != "":
		s.read(w, rest)
	default:
		Fail(w, http.StatusBadRequest, "BadParameter", "")
	}
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	s.Logins++
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" || r.PostForm.Get("client_id") != Client ||
		r.PostForm.Get("client_secret") != ClientSecret && r.PostForm.Get("client_assertion") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client","error_description":"quoting what was sent"}`)
		return
	}
	s.Form = r.PostForm
	token := fmt.Sprint("token-", s.Logins)
	s.Tokens[token] = true
	answer(w, map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": token})
}

func (s *Server) read(w http.ResponseWriter, path string) {
	s.Reads++
	name, version, _ := strings.Cut(path, "/")
	value, ok := s.Secrets[strings.ToLower(name)][version]
	switch {
	case s.Denied[name] != "":
		Fail(w, http.StatusForbidden, "Forbidden", s.Denied[name])
	case !ok:
		Fail(w, http.StatusNotFound, "SecretNotFound", "")
	default:
		answer(w, map[string]any{"value": value, "id": s.http.URL + "/secrets/" + path, "attributes": map[string]any{"enabled": true}})
	}
}

// Fail answers as Key Vault does.
func Fail(w http.ResponseWriter, status int, code, inner string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"quoting what was sent","innererror":{"code":%q}}}`, code, inner)
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
