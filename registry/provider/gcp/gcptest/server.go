// SPDX-License-Identifier: Apache-2.0

// Package gcptest is a fake of Secret Manager and of Google's token servers at the wire, for tests that need faults the real ones do not produce on request. It serves TLS on loopback.
package gcptest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	// Secrets :: "projects/…/secrets/NAME" → versions; a nil version is disabled.
	Secrets map[string][][]byte
	// Denied secrets answer 403.
	Denied map[string]bool
	// Tokens that are accepted by Secret Manager, and Federated by the service that gives tokens of service accounts.
	Tokens, Federated map[string]bool
	// Logins and Reads count.
	Logins, Reads int
	// Form is the last request of a token exchange.
	Form url.Values
}

// Account is the service account that there is.
const Account = "reader@acme.iam.gserviceaccount.com"

var private = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New starts a server that stops with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{State: State{Secrets: map[string][][]byte{}, Denied: map[string]bool{}, Tokens: map[string]bool{}, Federated: map[string]bool{}}}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.EnableHTTP2 = true
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what some tests are about
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	return s
}

// Address is where it serves everything.
func (s *Server) Address() string { return s.http.URL }

// CABundle is the certificate, in PEM, that its own is signed by.
func (s *Server) CABundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw}))
}

// Key returns the key file of the account. It says that tokens come from somewhere else, which nobody may believe.
func Key(t testing.TB) json.RawMessage {
	t.Helper()
	k, err := private()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": Account, "private_key_id": "k1", "token_uri": "https://elsewhere.example/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Change runs f while nothing is being served.
func (s *Server) Change(f func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.State)
}

// Put adds a version of a secret.
func (s *Server) Put(secret string, value []byte) {
	s.Change(func(st *State) { st.Secrets[secret] = append(st.Secrets[secret], value) })
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
	secret, version, isAccess := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/"), ":access"), "/versions/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/token":
		s.login(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/token":
		s.exchange(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/projects/-/serviceAccounts/"+Account+":generateAccessToken":
		if !s.Federated[token] {
			Fail(w, http.StatusForbidden, "PERMISSION_DENIED")
			return
		}
		answer(w, map[string]any{"accessToken": s.issue(s.Tokens), "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	case !s.Tokens[token]:
		Fail(w, http.StatusUnauthorized, "UNAUTHENTICATED")
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets"):
		Fail(w, http.StatusForbidden, "PERMISSION_DENIED")
	case r.Method == http.MethodGet && isAccess && strings.HasSuffix(r.URL.Path, ":access"):
		s.read(w, secret, version)
	default:
		Fail(w, http.StatusNotFound, "NOT_FOUND")
	}
}

func (s *Server) issue(into map[string]bool) string {
	s.Logins++
	token := fmt.Sprint("token-", s.Logins)
	into[token] = true
	return token
}

// login takes a JWT that the account's key signed for this server.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.FormValue("assertion"), ".")
	if k, err := private(); err != nil || len(parts) != 3 || !genuine(&k.PublicKey, parts, s.http.URL+"/token") {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"quoting what was sent"}`)
		return
	}
	answer(w, map[string]any{"access_token": s.issue(s.Tokens), "expires_in": 3599, "token_type": "Bearer"})
}

func genuine(public *rsa.PublicKey, parts []string, audience string) bool {
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) != nil {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		Issued   int64  `json:"iat"`
		Ends     int64  `json:"exp"`
	}
	return err == nil && json.Unmarshal(payload, &claims) == nil && claims.Issuer == Account && claims.Audience == audience && claims.Scope != "" &&
		claims.Issued <= time.Now().Unix() && claims.Ends > time.Now().Unix() && claims.Ends-claims.Issued <= 3600
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("subject_token") == "" || r.PostForm.Get("audience") == "" {
		Fail(w, http.StatusBadRequest, "INVALID_ARGUMENT")
		return
	}
	s.Form = r.PostForm
	token := s.issue(s.Federated)
	s.Tokens[token] = true
	answer(w, map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
}

func (s *Server) read(w http.ResponseWriter, secret, version string) {
	s.Reads++
	versions := s.Secrets[secret]
	n, err := strconv.Atoi(version)
	if version == "latest" {
		n, err = len(versions), nil
	}
	switch {
	case s.Denied[secret]:
		Fail(w, http.StatusForbidden, "PERMISSION_DENIED")
	case err != nil || n < 1 || n > len(versions):
		Fail(w, http.StatusNotFound, "NOT_FOUND")
	case versions[n-1] == nil:
		Fail(w, http.StatusBadRequest, "FAILED_PRECONDITION")
	default:
		answer(w, Payload(versions[n-1], crc32.Checksum(versions[n-1], crc32.MakeTable(crc32.Castagnoli))))
	}
}

// Payload is the answer with a value and a checksum.
func Payload(value []byte, sum uint32) any {
	return map[string]any{"name": "projects/1/secrets/x/versions/1", "payload": map[string]any{"data": value, "dataCrc32c": fmt.Sprint(sum)}}
}

// Fail answers as Google does.
func Fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":"quoting what was sent","status":%q}}`, status, code)
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
