// SPDX-License-Identifier: Apache-2.0

package kubernetes_test

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const token = "eyJ.token.of-the-record"

// fakeServer is a fake: it speaks as much of an API server's protocol as this provider uses, with an answer for each path and token. That a real one does the same is for the cluster suites to show.
type fakeServer struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  map[string]bool
	secrets map[string]map[string][]byte // :: <namespace>/<name> → data
	denied  map[string]bool
	fault   http.HandlerFunc
	asked   []string
}

func serve(t testing.TB) *fakeServer {
	f := &fakeServer{tokens: map[string]bool{token: true}, secrets: map[string]map[string][]byte{}, denied: map[string]bool{}}
	f.Server = httptest.NewTLSServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeServer) bundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}))
}

func (f *fakeServer) put(path string, data map[string][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[path] = data
}

// fail answers everything with fault until undo.
func (f *fakeServer) fail(fault http.HandlerFunc) (undo func()) {
	set := func(h http.HandlerFunc) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fault = h
	}
	set(fault)
	return func() { set(nil) }
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault, known, asked := f.fault, maps.Clone(f.tokens), r.Method+" "+r.URL.Path
	f.asked = append(f.asked, asked)
	rest, isSecret := strings.CutPrefix(asked, "GET /api/v1/namespaces/")
	path := strings.Replace(rest, "/secrets/", "/", 1)
	data, found := f.secrets[path]
	denied := f.denied[path]
	f.mu.Unlock()
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case fault != nil:
		fault(w, r)
	case !known[bearer]:
		status(w, http.StatusUnauthorized, "Unauthorized")
	case asked == "GET /api":
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	case denied:
		status(w, http.StatusForbidden, "Forbidden")
	case !isSecret || !found:
		status(w, http.StatusNotFound, "NotFound")
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": data})
	}
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reflected})
}

const reflected = "a value the server repeats"
