// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

var app, side = envs("app", "A", "B"), envs("side", "C")

// written is what answer(value, app, side) becomes.
func written(value string) map[string]string {
	return map[string]string{"app.env": fmt.Sprintf("A='%s'\nB='%[1]s'\n", value), "side.env": fmt.Sprintf("C='%s'\n", value)}
}

func (p *pod) wantFiles(want map[string]string) {
	p.t.Helper()
	if got := p.files(); !maps.Equal(got, want) {
		p.t.Errorf("files: %.500q\nwant:  %.500q", got, want)
	}
}

func TestValuesArriveByteForByte(t *testing.T) {
	value := canary + "\n $HOME \"x\" \\n # päß\t\n\n"
	p := newPod(t, serve(t, nil, answer(value, app, side)), app, side)
	for range 2 { // the kubelet runs init containers again after it has made a new sandbox
		log, _ := p.start().exit(0)
		if n := strings.Count(log, "\n"); n != 1 {
			t.Errorf("a single try took %d log lines, want one and one at the end:\n%s", n+1, log)
		}
		p.wantFiles(written(value))
	}
}

func TestTheRegistryComesUpLate(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	p := newPod(t, serve(t, nil, answer(canary, app, side)), app, side)
	p.env[podspec.EnvURL] = "https://" + address
	agent := p.start()
	agent.await("connection refused")
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	serve(t, listener, problem(wire.CodeStoreUnavailable), answer(canary, app, side))
	agent.await(`"reason":"store_unavailable"`)
	began := time.Now()
	agent.await("resolve succeeded")
	if pause := time.Since(began); pause < 900*time.Millisecond {
		t.Errorf("it came back after %v, asked to wait for 1s", pause)
	}
	agent.exit(0)
	p.wantFiles(written(canary))
}

func TestTheTokenIsRotatedBetweenTries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	rotate := func(to string) {
		if err := os.WriteFile(file, []byte(to), 0o600); err != nil {
			t.Error(err)
		}
	}
	rotate(token)
	seen := make(chan string, 10)
	check := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header.Get("Authorization")
			rotate("rotated")
			next(w, r)
		}
	}
	p := newPod(t, serve(t, nil, check(problem(wire.CodeUnauthenticated)), check(answer(canary, app))), app)
	p.env[podspec.EnvTokenFile] = file
	p.start().exit(0)
	if first, second := <-seen, <-seen; first != "Bearer "+token || second != "Bearer rotated" || len(seen) > 0 {
		t.Errorf("sent %q and %q, then %d more", first, second, len(seen))
	}
}

func TestWhatCannotSucceedEndsWithItsExitCode(t *testing.T) {
	raw := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, body)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		env     [2]string
		code    int
		message string
	}{
		"a token nobody accepts":   {problem(wire.CodeUnauthenticated), [2]string{}, 10, "audience"},
		"no binding":               {problem(wire.CodeNotBound), [2]string{}, 11, "not_bound: as the test says. Fix: Add the binding"},
		"no answer":                {hang, [2]string{podspec.EnvDeadline, "300ms"}, 12, "deadline passed after 1 tries"},
		"an outage":                {problem(wire.CodeKeyUnavailable), [2]string{podspec.EnvDeadline, "300ms"}, 12, "key_unavailable"},
		"a bad variable":           {nil, [2]string{podspec.EnvURL, "http://registry"}, 13, "LANYARD_URL is not an https URL"},
		"two bad variables":        {nil, [2]string{podspec.EnvRequest, "{}"}, 13, "LANYARD_REQUEST has protocol 0"},
		"no token":                 {nil, [2]string{podspec.EnvTokenFile, "/nonexistent"}, 13, "unusable token file"},
		"no directory":             {answer(canary, app, side), [2]string{podspec.EnvDir, "/nonexistent"}, 14, "opening directory"},
		"a missing secret":         {problem(wire.CodeUnresolved, wire.ItemProblem{Container: "app", Env: "A", Secret: "db", Provider: "vault", Code: wire.CodeSecretMissing}), [2]string{}, 15, "\nA of container app, secret db, provider vault: secret_missing: "},
		"a value with a quote":     {answer(canary+"'", app, side), [2]string{}, 16, "\nC of container side, secret a-secret: unrepresentable: "},
		"half an answer":           {answer(canary, app), [2]string{}, 17, `container "side" is missing`},
		"more than was asked for":  {answer(canary, app, side, envs("third", "X")), [2]string{}, 17, "not asked for"},
		"a page":                   {raw("text/html", canary), [2]string{}, 17, "content type"},
		"JSON of something else":   {raw("application/json", `{"containers":"`+canary+`"}`), [2]string{}, 17, "malformed"},
		"an answer without an end": {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, [2]string{}, 17, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, serve(t, nil, tc.handler), app, side)
			if tc.env[0] != "" {
				p.env[tc.env[0]] = tc.env[1]
			}
			if _, message := p.start().exit(tc.code); !strings.Contains(message, tc.message) || len(message) > 4096 {
				t.Errorf("termination message %q\nlacks %q", message, tc.message)
			}
			p.wantFiles(map[string]string{})
		})
	}
}

// endless writes values until the agent hangs up.
func endless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	chunk := strings.Repeat(canary, 4096)
	for {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

func TestAFailedRunLeavesTheFilesOfTheOneBefore(t *testing.T) {
	p := newPod(t, serve(t, nil, answer("old", app, side), problem(wire.CodeNotBound)), app, side)
	p.start().exit(0)
	p.start().exit(11)
	p.wantFiles(written("old"))
}

func TestSIGTERMEndsItAtOnce(t *testing.T) {
	asked := make(chan struct{})
	p := newPod(t, serve(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}), app)
	agent := p.start()
	<-asked
	began := time.Now()
	if err := agent.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	agent.exit(143)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	p.wantFiles(map[string]string{})
}

func TestArguments(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), binary, "version").Output()
	if fields := strings.Fields(string(out)); err != nil || len(fields) != 2 || fields[0] != "lanyard-agent" {
		t.Errorf("version: %q, %v", out, err)
	}
	p := newPod(t, serve(t, nil, answer(canary, app)), app)
	cmd := p.command("--verbose")
	out, _ = cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 13 || !strings.Contains(string(out), "unknown argument") {
		t.Errorf("an unknown argument exits %d: %s", code, out)
	}
}

func TestTheBinaryIsSmall(t *testing.T) {
	const limit = 7_000_000 // every node pulls it before its first pod can start
	if info, err := os.Stat(binary); err != nil || info.Size() > limit {
		t.Errorf("the binary has %d bytes, %v, want at most %d", info.Size(), err, limit)
	}
}
