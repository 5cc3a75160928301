// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const testToken = "lyd_test_3c1f9a7b5d"

// run runs a command line against server and returns its exit code and everything it printed.
func run(ctx context.Context, t *testing.T, server string, terminal Terminal, args ...string) (ExitCode, string) {
	t.Helper()
	var out strings.Builder
	env := map[string]string{"LANYARD_SERVER": server, "LANYARD_TOKEN": testToken, "LANYARD_ORG": "acme"}
	code := Run(ctx, Invocation{Args: append([]string{"lanyard"}, args...), Getenv: func(k string) string { return env[k] }, In: strings.NewReader(""), Out: &out, Err: &out, Terminal: terminal})
	if strings.Contains(out.String(), testToken) {
		t.Errorf("the token was printed:\n%s", out.String())
	}
	return code, out.String()
}

func answerJSON(w http.ResponseWriter, media string, status int, body any) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func TestWhatIsNoRegistryIsCalledThat(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with Authorization %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		code    ExitCode
		want    string
	}{
		"a page":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, Failure, "not a Lanyard registry (status 200)"},
		"a redirect":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, Failure, "not a Lanyard registry (status 302)"},
		"a proxy's error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, Unavailable, "status 502"},
		"JSON of another": {func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, "application/json", 200, []int{1}) }, Failure, "decoding the answer"},
		"broken problem":  {func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, "application/problem+json", 404, 1) }, NotFound, "status 404"},
		"a broken answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(200)
		}, Unavailable, "reading the answer"},
		"terminal escapes": {func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, "application/problem+json", 422, map[string]any{"type": "x/validation", "title": "\x1b[2J", "errors": []map[string]string{{"pointer": "/a\r", "code": "c", "message": "m\x07"}}})
		}, Failure, `\x1b[2J [validation]` + "\n" + `  /a\r: m\a [c]`},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			code, out := run(t.Context(), t, server.URL, nil, "whoami")
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.want, out)
			}
		})
	}
}

func TestTooManyRequestsAreRepeatedWithTheirBody(t *testing.T) {
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"slug":"acme"`) || r.Header.Get("Authorization") != "Bearer "+testToken {
			t.Errorf("try %d: %s", tries.Load(), body)
		}
		if tries.Add(1) < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		answerJSON(w, "application/json", http.StatusCreated, map[string]any{"slug": "acme"})
	}))
	defer server.Close()
	if code, out := run(t.Context(), t, server.URL, nil, "org", "create", "acme"); code != OK || tries.Load() != 3 {
		t.Errorf("exit code %d after %d tries:\n%s", code, tries.Load(), out)
	}
}

func TestACreationWhoseAnswerIsLostIsRepeatedWithItsKey(t *testing.T) {
	for name, lose := range map[string]func(http.ResponseWriter){
		"the connection breaks": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"the store is slow":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a proxy gives up":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) },
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			var keys [2]string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				try := tries.Add(1)
				keys[min(try, 2)-1] = r.Header.Get("Idempotency-Key")
				if try == 1 {
					lose(w)
					return
				}
				answerJSON(w, "application/json", http.StatusCreated, map[string]any{"slug": "acme"})
			}))
			defer server.Close()
			if code, out := run(t.Context(), t, server.URL, nil, "org", "create", "acme"); code != OK || tries.Load() != 2 {
				t.Errorf("exit code %d after %d tries:\n%s", code, tries.Load(), out)
			}
			if len(keys[0]) < 20 || keys[0] != keys[1] {
				t.Errorf("keys %q", keys)
			}
		})
	}
}

func TestTooManyRequestsAreNotRepeatedForEver(t *testing.T) {
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tries.Add(1)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	if code, out := run(t.Context(), t, server.URL, nil, "whoami"); code != Unavailable || tries.Load() != maxTries {
		t.Errorf("exit code %d after %d tries:\n%s", code, tries.Load(), out)
	}
}

func TestEditsBeginAgainWhenSomebodyElseWasFaster(t *testing.T) {
	var writes atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			if writes.Add(1) < 3 {
				answerJSON(w, "application/problem+json", http.StatusPreconditionFailed, map[string]any{"type": "x/precondition-failed", "status": 412, "title": "changed"})
				return
			}
			if r.Header.Get("If-Match") != `"7"` {
				t.Errorf("If-Match %q", r.Header.Get("If-Match"))
			}
		}
		w.Header().Set("ETag", `"7"`)
		answerJSON(w, "application/json", 200, map[string]any{"id": "i", "name": "billing"})
	}))
	defer server.Close()
	if code, out := run(t.Context(), t, server.URL, nil, "consumer", "env", "set", "billing", "A", "--secret", "s"); code != OK || writes.Load() != 3 {
		t.Errorf("exit code %d after %d writes:\n%s", code, writes.Load(), out)
	}
	writes.Store(0)
	if code, _ := run(t.Context(), t, server.URL, nil, "consumer", "env", "set", "billing", "A", "--secret", "s", "--if-match", `"5"`); code != Conflict || writes.Load() != 1 {
		t.Errorf("with --if-match: exit code %d after %d writes", code, writes.Load())
	}
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.yaml" {
			if r.Header.Get("Authorization") != "" {
				t.Error("the doctor sent the token before it knew to whom")
			}
			w.Header().Set("Content-Type", "application/yaml")
			return
		}
		answerJSON(w, "application/json", 200, map[string]any{"principal": "token:x"})
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pemOf(server), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		code ExitCode
		want string
	}{
		"unknown authority":  {[]string{"whoami"}, Unavailable, "--ca-file"},
		"known authority":    {[]string{"--ca-file", ca, "whoami"}, OK, "token:x"},
		"another name":       {[]string{"--ca-file", ca, "--server-name", "other.test", "whoami"}, Unavailable, "--server-name"},
		"no certificate":     {[]string{"--ca-file", os.Args[0], "whoami"}, Usage, "no certificate"},
		"plain HTTP to TLS":  {[]string{"--server", strings.Replace(server.URL, "https", "http", 1), "whoami"}, Failure, "not a Lanyard registry"},
		"doctor":             {[]string{"--ca-file", ca, "doctor"}, OK, "verified (TLS 1.3)"},
		"doctor, no CA file": {[]string{"doctor"}, Unavailable, "connection      failed    reaching"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out := run(t.Context(), t, server.URL, nil, tt.args...); code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tt.code, tt.want, out)
			}
		})
	}
}

func TestASignalInterrupts(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if code, out := run(ctx, t, server.URL, nil, "whoami"); code != Interrupted || !strings.Contains(out, "interrupted") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestSlowAnswersAreUnavailable(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	if code, out := run(t.Context(), t, server.URL, nil, "--timeout", "20ms", "whoami"); code != Unavailable {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestListsArePagedToTheLimit(t *testing.T) {
	for limit, want := range map[int]int{0: 450, 1: 1, 200: 200, 201: 201, 1000: 450} {
		calls := 0
		items, err := pages(limit, func(size *int, token *string) ([]int, *string, error) {
			calls++
			n, next := min(*size, 450-(calls-1)*200), "more"
			if (calls-1)*200+n >= 450 {
				return make([]int, n), nil, nil
			}
			if (calls == 1) != (token == nil) {
				t.Errorf("call %d: token %v", calls, token)
			}
			return make([]int, n), &next, nil
		})
		if err != nil || len(items) != want {
			t.Errorf("limit %d: %d items, %v", limit, len(items), err)
		}
	}
}

func TestTheClocksAreCompared(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		date string
		want string
	}{
		"agree":    {now.Add(-2 * time.Second).Format(http.TimeFormat), "ok"},
		"ahead":    {now.Add(time.Hour).Format(http.TimeFormat), "warning"},
		"behind":   {now.Add(-time.Minute).Format(http.TimeFormat), "warning"},
		"not told": {"", "warning"},
	} {
		if result, detail := judgeClock(tt.date, time.Second, now); result != tt.want {
			t.Errorf("%s: %s: %s", name, result, detail)
		}
	}
}
