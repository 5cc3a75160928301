// SPDX-License-Identifier: Apache-2.0

// Package vaulttest is a fake of Vault at the wire, for tests that need faults a real server does not produce on request. It serves TLS on loopback, with KV version 1 at kv1/, version 2 at
// kv/, a dynamic engine at database/, and the login methods approle, kubernetes and jwt. What the real server does is checked against the real server, in the end-to-end tests.
package vaulttest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
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
	// TTL of tokens that logins give. 0 means an hour.
	TTL time.Duration
	// Renewable says whether they are, and LookupSelf whether they may look at themselves.
	Renewable, NoLookupSelf bool
	// Secrets :: path without data/ → versions; a nil version was deleted.
	Secrets map[string][]json.RawMessage
	// Denied paths answer 403.
	Denied map[string]bool
	// Tokens that are accepted, with what is left of them.
	Tokens map[string]time.Time
	// Logins, Reads, Renewals and Revoked count.
	Logins, Reads, Renewals, Revoked int
	// Leases given by database/, and what became of those that were renewed or revoked :: lease id → times. LeaseTTL is an hour if 0.
	Leases                       int
	LeaseTTL                     time.Duration
	RenewedLeases, RevokedLeases map[string]int
	// LeaseTokens :: lease id → the token it was made with. NoRevoke denies revocations.
	LeaseTokens map[string]string
	NoRevoke    bool
	// Seen are the headers of the last request for a secret, and LoginBody the last body of a login.
	Seen      http.Header
	LoginBody map[string]string
}

// StaticToken is always accepted.
const StaticToken = "static-token"

// New starts a server that stops with the test. It speaks HTTP/1.1.
func New(t testing.TB) *Server {
	t.Helper()
	return start(t, false)
}

// NewHTTP2 starts a server that speaks HTTP/2 too, as the real one does.
func NewHTTP2(t testing.TB) *Server {
	t.Helper()
	return start(t, true)
}

func start(t testing.TB, http2 bool) *Server {
	s := &Server{State: State{Renewable: true, Secrets: map[string][]json.RawMessage{}, Denied: map[string]bool{}, Tokens: map[string]time.Time{StaticToken: {}},
		RenewedLeases: map[string]int{}, RevokedLeases: map[string]int{}, LeaseTokens: map[string]string{}}}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.EnableHTTP2 = http2
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what some tests are about
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	return s
}

// Address is where it serves.
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

// Put writes a version of a secret, as JSON.
func (s *Server) Put(path, object string) {
	s.Change(func(st *State) { st.Secrets[path] = append(st.Secrets[path], json.RawMessage(object)) })
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	s.mu.Lock()
	if fault := s.Fault; fault != nil {
		s.mu.Unlock()
		if fault(w, r) {
			return
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	switch {
	case r.Header.Get("X-Vault-Request") != "true":
		fail(w, http.StatusPreconditionFailed, "missing X-Vault-Request")
	case r.Method == http.MethodPut && strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login"):
		s.login(w, r)
	case !s.valid(r.Header.Get("X-Vault-Token")):
		fail(w, http.StatusForbidden, "permission denied")
	case strings.HasPrefix(path, "auth/token/"):
		s.token(w, r, strings.TrimPrefix(path, "auth/token/"))
	case r.Method == http.MethodPut && strings.HasPrefix(path, "sys/leases/"):
		s.lease(w, r, strings.TrimPrefix(path, "sys/leases/"))
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		mount(w, strings.TrimPrefix(path, "sys/internal/ui/mounts/"))
	default:
		s.read(w, r, path)
	}
}

func (s *Server) valid(token string) bool {
	until, ok := s.Tokens[token]
	return ok && (until.IsZero() || time.Now().Before(until))
}

func (s *Server) ttl() time.Duration {
	if s.TTL == 0 {
		return time.Hour
	}
	return s.TTL
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	s.LoginBody = nil
	if err := json.NewDecoder(r.Body).Decode(&s.LoginBody); err != nil {
		fail(w, http.StatusBadRequest, "bad body")
		return
	}
	s.Logins++
	if s.LoginBody["secret_id"] == "wrong" || s.LoginBody["jwt"] == "wrong" {
		fail(w, http.StatusBadRequest, "invalid credentials "+s.LoginBody["secret_id"]+s.LoginBody["jwt"]) // the real one does not reflect; a hostile one may
		return
	}
	token := fmt.Sprintf("login-token-%d", s.Logins)
	s.Tokens[token] = time.Now().Add(s.ttl())
	reply(w, map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": int(s.ttl().Seconds()), "renewable": s.Renewable}})
}

func (s *Server) token(w http.ResponseWriter, r *http.Request, action string) {
	token := r.Header.Get("X-Vault-Token")
	switch {
	case action == "lookup-self" && s.NoLookupSelf:
		fail(w, http.StatusForbidden, "permission denied")
	case action == "lookup-self":
		ttl := 0
		if until := s.Tokens[token]; !until.IsZero() {
			ttl = int(time.Until(until).Seconds())
		}
		reply(w, map[string]any{"data": map[string]any{"id": token, "ttl": ttl, "renewable": s.Renewable}})
	case action == "renew-self" && s.Renewable:
		s.Renewals++
		s.Tokens[token] = time.Now().Add(s.ttl())
		reply(w, map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": int(s.ttl().Seconds()), "renewable": true}})
	case action == "revoke-self":
		s.Revoked++
		delete(s.Tokens, token)
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(w, http.StatusBadRequest, "unsupported")
	}
}

func (s *Server) leaseTTL() time.Duration {
	if s.LeaseTTL == 0 {
		return time.Hour
	}
	return s.LeaseTTL
}

func (s *Server) lease(w http.ResponseWriter, r *http.Request, action string) {
	var body struct {
		LeaseID string `json:"lease_id"`
		Sync    bool   `json:"sync"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fail(w, http.StatusBadRequest, "bad body")
		return
	}
	known := s.LeaseTokens[body.LeaseID] != "" && s.valid(s.LeaseTokens[body.LeaseID])
	switch {
	case action == "renew" && !known:
		fail(w, http.StatusBadRequest, "lease not found")
	case action == "renew":
		s.RenewedLeases[body.LeaseID]++
		reply(w, map[string]any{"lease_id": body.LeaseID, "lease_duration": int(s.leaseTTL().Seconds()), "renewable": true})
	case action == "revoke" && s.NoRevoke:
		fail(w, http.StatusForbidden, "permission denied")
	case action == "revoke" && !body.Sync:
		w.WriteHeader(http.StatusAccepted) // it is done later, or not
	case action == "revoke":
		s.RevokedLeases[body.LeaseID]++
		delete(s.LeaseTokens, body.LeaseID)
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(w, http.StatusNotFound)
	}
}

func mount(w http.ResponseWriter, path string) {
	first, _, _ := strings.Cut(path, "/")
	info := map[string]any{"path": first + "/", "type": "kv", "options": map[string]string{"version": "2"}}
	switch first {
	case "kv":
	case "kv1":
		info["options"] = nil
	case "database":
		info["type"], info["options"] = "database", nil
	default:
		fail(w, http.StatusForbidden, "preflight capability check returned 403")
		return
	}
	reply(w, map[string]any{"data": info})
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, path string) {
	s.Reads++
	s.Seen = r.Header.Clone()
	mount, rest, _ := strings.Cut(path, "/")
	var versioned bool
	if mount == "kv" {
		rest, versioned = strings.CutPrefix(rest, "data/")
	}
	name := mount + "/" + rest
	versions := s.Secrets[name]
	switch {
	case s.Denied[name]:
		fail(w, http.StatusForbidden, "permission denied")
	case mount == "database":
		s.Leases++
		s.LeaseTokens[fmt.Sprintf("database/%d", s.Leases)] = r.Header.Get("X-Vault-Token")
		reply(w, map[string]any{"lease_id": fmt.Sprintf("database/%d", s.Leases), "lease_duration": int(s.leaseTTL().Seconds()), "renewable": true,
			"data": map[string]string{"username": fmt.Sprintf("user-%d", s.Leases), "password": fmt.Sprintf("password-%d", s.Leases)}})
	case mount == "kv" && versioned:
		readVersion(w, versions, r.URL.Query().Get("version"))
	case mount == "kv1" && len(versions) > 0:
		reply(w, map[string]any{"data": versions[len(versions)-1]})
	default:
		fail(w, http.StatusNotFound)
	}
}

func readVersion(w http.ResponseWriter, versions []json.RawMessage, wanted string) {
	n := len(versions)
	if wanted != "" {
		n, _ = strconv.Atoi(wanted)
	}
	switch {
	case n < 1 || n > len(versions):
		fail(w, http.StatusNotFound)
	case versions[n-1] == nil:
		w.WriteHeader(http.StatusNotFound)
		reply(w, map[string]any{"data": map[string]any{"data": nil, "metadata": map[string]any{"destroyed": false, "deletion_time": "2026-01-01T00:00:00Z"}}})
	default:
		reply(w, map[string]any{"data": map[string]any{"data": versions[n-1], "metadata": map[string]any{"version": n}}})
	}
}

func reply(w http.ResponseWriter, body any) {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
}

func fail(w http.ResponseWriter, status int, errors ...string) {
	w.WriteHeader(status)
	reply(w, map[string]any{"errors": append([]string{}, errors...)})
}
