// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// fetching is what the runtime starts in a pod with the direct delivery.
func (l launch) fetching(t testing.TB) *exec.Cmd {
	t.Helper()
	c := own(slices.Sorted(maps.Keys(l.values))...)
	values := wire.ContainerValues{Name: c.Name}
	for _, name := range c.Envs {
		values.Envs = append(values.Envs, wire.Env{Name: name, Value: redact.New([]byte(l.values[name])), Secret: "a-secret"})
	}
	p := newPod(t, serve(t, nil, respond(&wire.ResolveResponse{RequestID: "r-1", Containers: []wire.ContainerValues{values}})), c)
	cmd := p.wrapping(l.argv...)
	cmd.Dir, cmd.Stdin = l.dir, strings.NewReader(l.stdin)
	cmd.Env = append(cmd.Env, l.env...)
	return cmd
}

// own is the request of a container for itself.
func own(names ...string) wire.ContainerRequest {
	c := envs("app", names...)
	c.Delivery = wire.DeliveryDirect
	return c
}

// wrapping is what the runtime starts as the container that has argv as its own command.
func (p *pod) wrapping(argv ...string) *exec.Cmd {
	return p.command(append(podspec.Wrapper(podspec.ModeDirect)[1:], argv...)...)
}

func TestADirectContainerTriesAsAnInitAgentDoes(t *testing.T) {
	_, program := tool(t)
	p := newPod(t, serve(t, nil, problem(wire.CodeStoreUnavailable), answer(canary, own("KEY"))), own("KEY"))
	cmd := p.wrapping(program)
	cmd.Env = append(cmd.Env, actVariable+"=look")
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	var seen sight
	if err != nil || json.Unmarshal(out, &seen) != nil || string(seen.Env["KEY"]) != canary {
		t.Fatalf("%v: %s", err, told.String())
	}
	if lines := strings.Count(told.String(), "\n"); lines != 1 || !strings.Contains(told.String(), `"reason":"store_unavailable"`) {
		t.Errorf("of a try that failed and one that did not it tells %s", told.String())
	}
	if strings.Contains(told.String(), "cAnArY") {
		t.Error("a secret was told")
	}
}

func TestADirectContainerWithoutValuesDoesNotStart(t *testing.T) {
	_, program := tool(t)
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	crowd := make([]string, 40)
	for i := range crowd {
		crowd[i] = "E" + string(rune('A'+i%26)) + string(rune('A'+i/26))
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		asks    []wire.ContainerRequest
		env     [2]string
		code    int
		message string
	}{
		"no binding":                      {problem(wire.CodeNotBound), nil, [2]string{}, 11, "not_bound: as the test says. Fix: Add the binding"},
		"a node that is too old":          {problem(wire.CodeNodeUnsupported), nil, [2]string{}, 11, "node_unsupported"},
		"no answer":                       {hang, nil, [2]string{podspec.EnvDeadline, "300ms"}, 12, "deadline passed after 1 tries"},
		"a bad variable":                  {nil, nil, [2]string{podspec.EnvURL, "http://registry"}, 13, "LANYARD_URL is not an https URL"},
		"no token":                        {nil, nil, [2]string{podspec.EnvTokenFile, "/nonexistent"}, 13, "unusable token file"},
		"a request of an init agent":      {nil, []wire.ContainerRequest{app}, [2]string{}, 13, "not that of one container"},
		"a request of several containers": {nil, []wire.ContainerRequest{own("A"), side}, [2]string{}, 13, "asks for itself alone"},
		"a missing secret":                {problem(wire.CodeUnresolved, wire.ItemProblem{Container: "app", Env: "KEY", Secret: "db", Code: wire.CodeSecretMissing}), nil, [2]string{}, 15, "\nKEY of container app, secret db: secret_missing: "},
		"a value with a NUL byte":         {answer(canary+"\x00", own("KEY")), nil, [2]string{}, 16, "it contains a NUL byte"},
		"more than a process may receive": {answer(strings.Repeat(canary, 60<<10/len(canary)), own(crowd...)), []wire.ContainerRequest{own(crowd...)}, [2]string{}, 16, "longer than a process may receive"},
		"values of another container":     {answer(canary, envs("side", "KEY")), nil, [2]string{}, 17, `container "app" is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.asks == nil {
				tc.asks = []wire.ContainerRequest{own("KEY")}
			}
			p := newPod(t, serve(t, nil, tc.handler), tc.asks...)
			if tc.env[0] != "" {
				p.env[tc.env[0]] = tc.env[1]
			}
			p.env[actVariable] = "look"
			if _, message := p.startCommand(p.wrapping(program)).exit(tc.code); !strings.Contains(message, tc.message) || len(message) > 4096 {
				t.Errorf("termination message %q\nlacks %q", message, tc.message)
			}
		})
	}
}

func TestADirectContainerSaysWhyItsCommandCannotRun(t *testing.T) {
	p := newPod(t, serve(t, nil, answer(canary, own("KEY"))), own("KEY"))
	out, _ := p.wrapping("/nonexistent/app").CombinedOutput()
	message, err := os.ReadFile(p.termed)
	if err != nil || string(message) != string(out) || !strings.HasPrefix(string(out), `lanyard-agent: command "/nonexistent/app" not found`) || !strings.Contains(string(out), "exit code 127") {
		t.Errorf("it tells %q and leaves the message %q, %v", out, message, err)
	}
}

// As process 1 of a container it would ignore what it does not handle.
func TestASignalEndsADirectContainerThatFetches(t *testing.T) {
	for name, s := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			p := newPod(t, serve(t, nil, func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
			}), own("KEY"))
			agent := p.startCommand(p.wrapping("/bin/true"))
			<-asked
			if err := agent.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			agent.exit(143)
		})
	}
}

func TestTheInitAgentLeavesWhatIsNotItsOwn(t *testing.T) {
	p := newPod(t, serve(t, nil, answer(canary, own("KEY"))), own("KEY"))
	if _, message := p.start().exit(13); !strings.Contains(message, "fetches its values itself") {
		t.Errorf("asked for the values of a container that fetches them, it says %q", message)
	}

	wrapped := envs("app", "KEY")
	wrapped.Delivery = wire.DeliveryExec
	p = newPod(t, serve(t, nil, answer(canary, wrapped)), wrapped)
	values := t.TempDir()
	if err := os.Mkdir(filepath.Join(values, "app"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.env[podspec.EnvValuesDir], p.env[podspec.EnvBinDir] = values, podspec.BinNowhere
	p.start().exit(0)
	if left, err := os.ReadDir(filepath.Join(values, "app")); err != nil || len(left) != 1 || left[0].Name() != podspec.ExecFile {
		t.Errorf("it wrote %v, %v, want the values alone", left, err)
	}
}
