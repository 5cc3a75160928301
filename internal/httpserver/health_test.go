// SPDX-License-Identifier: Apache-2.0

package httpserver_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/internal/httpserver"
)

func TestHealth(t *testing.T) {
	var unready error
	h := &httpserver.Health{Ready: func() error { return unready }}
	handler := h.Handler(prometheus.NewRegistry())
	ask := func(method, path string) (int, string) {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec.Code, rec.Body.String()
	}
	expect := func(path string, want int) {
		t.Helper()
		if code, body := ask("GET", path); code != want {
			t.Errorf("%s = %d %s, want %d", path, code, body, want)
		}
	}
	expect("/livez", 200)
	expect("/readyz", 200)
	expect("/metrics", 200)
	expect("/debug/pprof/", 404)

	h.Notes = func() []string { return []string{"a note", "another"} }
	if _, body := ask("GET", "/readyz"); body != "ok\na note\nanother\n" {
		t.Errorf("with notes: %q", body)
	}
	unready = errors.New("key 0011 is missing")
	expect("/livez", 200) // a restart would mend nothing
	if code, body := ask("GET", "/readyz"); code != 503 || !strings.Contains(body, "key 0011 is missing") || strings.Contains(body, "note") {
		t.Errorf("got %d %s", code, body)
	}
	unready = nil
	expect("/readyz", 200)
	h.Drain()
	expect("/readyz", 503)
	expect("/livez", 200)
}
