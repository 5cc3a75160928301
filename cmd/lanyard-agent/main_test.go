// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Neither may ever be seen in what the agent tells.
const (
	canary = "cAnArY-value-41b7"
	token  = "cAnArY-token-41b7"
)

// binary is the agent as it is shipped.
var binary string

func TestMain(m *testing.M) {
	if what, acting := os.LookupEnv(actVariable); acting {
		os.Exit(act(what))
	}
	// What started the tests may ignore these, as nohup and a shell's background do, and the programs started here would too. They do not inherit a handler.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lanyard-agent")
		if err != nil {
			log.Print(err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "lanyard-agent")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			log.Printf("building the agent: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// A pod is one agent process, its files and its environment.
type pod struct {
	t                  testing.TB
	env                map[string]string
	dir, token, termed string
}

func newPod(tb testing.TB, s *httptest.Server, containers ...wire.ContainerRequest) *pod {
	tb.Helper()
	dir := tb.TempDir()
	p := &pod{t: tb, dir: filepath.Join(dir, "env"), token: filepath.Join(dir, "token"), termed: filepath.Join(dir, "termination-log")}
	p.write(p.token, token)
	p.write(p.termed, "")
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	request, err := json.Marshal(wire.ResolveRequest{Protocol: wire.Protocol, Containers: containers})
	if err != nil {
		tb.Fatal(err)
	}
	p.env = map[string]string{
		podspec.EnvURL: s.URL, podspec.EnvServerName: "example.com", podspec.EnvRequest: string(request), podspec.EnvDeadline: "20s",
		podspec.EnvCA:        string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		podspec.EnvTokenFile: p.token, podspec.EnvDir: p.dir, podspec.EnvTerminationLog: p.termed,
	}
	return p
}

func (p *pod) write(path, content string) {
	p.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pod) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), binary, args...)
	cmd.Env = []string{}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// A process is an agent that is running.
type process struct {
	pod    *pod
	cmd    *exec.Cmd
	stdout bytes.Buffer
	lines  chan string // of standard error, as they come
	told   []string    // those that were taken from lines
}

func (p *pod) start() *process {
	p.t.Helper()
	return p.startCommand(p.command())
}

func (p *pod) startCommand(cmd *exec.Cmd) *process {
	p.t.Helper()
	r := &process{pod: p, cmd: cmd, lines: make(chan string, 1000)}
	r.cmd.Stdout = &r.stdout
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	return r
}

// await returns when the agent has logged message.
func (r *process) await(message string) {
	r.pod.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case line, more := <-r.lines:
			if !more {
				r.pod.t.Fatalf("the agent ended without logging %q: %s", message, strings.Join(r.told, "\n"))
			}
			r.told = append(r.told, line)
			if strings.Contains(line, message) {
				return
			}
		case <-timeout:
			r.pod.t.Fatalf("the agent did not log %q: %s", message, strings.Join(r.told, "\n"))
		}
	}
}

// exit waits for the end and checks everything that must hold for every run: the exit code, JSON on standard error alone, and no secret anywhere.
func (r *process) exit(want int) (log, message string) {
	t := r.pod.t
	t.Helper()
	for line := range r.lines {
		r.told = append(r.told, line)
	}
	err := r.cmd.Wait()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	log = strings.Join(r.told, "\n")
	if got := r.cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("exit code %d, want %d\n%s", got, want, log)
	}
	for _, line := range r.told {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if r.stdout.Len() > 0 {
		t.Errorf("standard output: %s", &r.stdout)
	}
	text, err := os.ReadFile(r.pod.termed)
	if err != nil {
		t.Fatal(err)
	}
	message = string(text)
	if strings.Contains(log+message, "cAnArY") {
		t.Errorf("a secret was told:\n%s\n%s", log, message)
	}
	if (want == 0) != (message == "") || want != 0 && (!strings.HasPrefix(message, "lanyard: ") || !strings.Contains(message, fmt.Sprintf("exit code %d,", want))) {
		t.Errorf("termination message: %q", message)
	}
	return log, message
}

// files are the contents of the directory, by name. Every file must have mode 0400.
func (p *pod) files() map[string]string {
	p.t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(p.dir, e.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		if info, err := e.Info(); err != nil || info.Mode() != 0o400 {
			p.t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
		got[e.Name()] = string(data)
	}
	return got
}

// serve gives the handlers' answers in turn, the last one for ever. A nil listener means any address.
func serve(tb testing.TB, listener net.Listener, handlers ...http.HandlerFunc) *httptest.Server {
	tb.Helper()
	turns := make(chan http.HandlerFunc, len(handlers))
	for _, h := range handlers {
		turns <- h
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := handlers[len(handlers)-1]
		select {
		case h = <-turns:
		default:
		}
		h(w, r)
	}))
	if listener != nil {
		_ = s.Listener.Close()
		s.Listener = listener
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = serverConfig(tb)
	s.StartTLS()
	tb.Cleanup(s.Close)
	return s
}

func envs(name string, envs ...string) wire.ContainerRequest {
	return wire.ContainerRequest{Name: name, Consumer: "acme/" + name, Delivery: wire.DeliveryEnvfile, Envs: envs}
}

// answer gives every ENV asked for the same value.
func answer(value string, containers ...wire.ContainerRequest) http.HandlerFunc {
	response := &wire.ResolveResponse{RequestID: "r-1"}
	for _, c := range containers {
		v := wire.ContainerValues{Name: c.Name}
		for _, name := range c.Envs {
			v.Envs = append(v.Envs, wire.Env{Name: name, Value: redact.New([]byte(value)), Secret: "a-secret"})
		}
		response.Containers = append(response.Containers, v)
	}
	return respond(response)
}

func respond(response *wire.ResolveResponse) http.HandlerFunc {
	body := wire.AppendResponse(nil, response)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}

func problem(code wire.Code, items ...wire.ItemProblem) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		if code.Info().Retryable {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(code.Info().Status)
		_ = json.NewEncoder(w).Encode(wire.Problem{Code: code, Message: "as the test says", RequestID: "r-2", Items: items})
	}
}
