// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/execfile"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// actVariable makes the test binary play an application.
const actVariable = "TEST_ACT"

// act is the application: it tells what it sees, or waits for a signal.
func act(what string) int {
	switch what {
	case "wait":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		fmt.Println("ready")
		<-signals
		fmt.Println("ending")
		return 7
	case "fail":
		return 3
	case "init", "adopt", "converse":
		return actOnLinux(what)
	}
	dir, err := os.Getwd()
	if err != nil {
		return 1
	}
	stdin, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	env := map[string][]byte{}
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = []byte(value)
	}
	if err := json.NewEncoder(os.Stdout).Encode(sight{os.Getpid(), os.Args, dir, stdin, env}); err != nil {
		return 1
	}
	return 0
}

// sight is what the application sees.
type sight struct {
	PID   int
	Args  []string
	Dir   string
	Stdin []byte
	Env   map[string][]byte
}

// A launch is a container's command, started by the runtime or by the agent.
type launch struct {
	program string   // that the runtime would find
	argv    []string // the container's command and args
	dir     string   // its workingDir
	env     []string // its own ENVs
	values  map[string]string
	stdin   string
}

// plain is what the runtime would start if the values were ENVs of the container.
func (l launch) plain(t testing.TB) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), l.program)
	cmd.Args, cmd.Dir, cmd.Env, cmd.Stdin = l.argv, l.dir, slices.Clone(l.env), strings.NewReader(l.stdin)
	for name, value := range l.values {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// A wrap is what the runtime starts instead.
type wrap func(launch, testing.TB) *exec.Cmd

// wraps are the deliveries that wrap a command. What a command sees of them must not differ.
var wraps = map[string]wrap{"exec": launch.wrapped, "direct": launch.fetching}

// wrapped is what the runtime starts in a pod with the exec delivery.
func (l launch) wrapped(t testing.TB) *exec.Cmd {
	t.Helper()
	file := execfile.New(0)
	for name, value := range l.values {
		var err error
		if file, err = execfile.Append(file, name, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, podspec.ExecFile), file, 0o444); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, append([]string{podspec.ModeExec, "--"}, l.argv...)...)
	cmd.Dir, cmd.Env, cmd.Stdin = l.dir, append(slices.Clone(l.env), podspec.EnvValuesDir+"="+dir), strings.NewReader(l.stdin)
	return cmd
}

// tool returns a directory with a program called tool, which is the test binary.
func tool(t *testing.T) (dir, program string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	program = filepath.Join(dir, "tool")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	return dir, program
}

func TestExecIsWhatTheRuntimeWouldHaveDone(t *testing.T) {
	dir, program := tool(t)
	act := actVariable + "=look"
	for name, l := range map[string]launch{
		"an absolute command":          {argv: []string{program}, env: []string{act}},
		"a relative command":           {argv: []string{"./tool", "x"}, dir: dir, env: []string{act}},
		"a command from the parent":    {argv: []string{filepath.Base(dir) + "/tool"}, dir: filepath.Dir(dir), env: []string{act}},
		"a command in PATH":            {argv: []string{"tool"}, env: []string{act, "PATH=/nonexistent:" + dir}},
		"arguments":                    {argv: []string{program, "", "-v", "--", "a b", "$HOME", "\xff", "exec"}, env: []string{act}},
		"standard input":               {argv: []string{program}, env: []string{act}, stdin: "line\nno end"},
		"ENVs of its own":              {argv: []string{program}, env: []string{act, "A=b", "EMPTY=", "EQUALS=a=b=c", "BYTES=\xff\xfe", "GODEBUG=netdns=go"}},
		"values":                       {argv: []string{program}, env: []string{act, "A=b"}, values: map[string]string{"KEY": "value", "EMPTY": "", "EQUALS": "=a=b="}},
		"values no env file can carry": {argv: []string{program}, env: []string{act}, values: map[string]string{"QUOTE": "it's", "CRLF": "a\r\nb\r\n", "BINARY": "\x01\xff\xfe\n", "LONG": strings.Repeat("0123456789abcdef", 4096)}},
	} {
		eachWrap(t, name, func(t *testing.T, wrap wrap) {
			l := l
			l.program = program
			var seen [2]sight
			for i, cmd := range []*exec.Cmd{l.plain(t), wrap(l, t)} {
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Run(); err != nil || stderr.Len() > 0 {
					t.Fatalf("%v: %s", err, &stderr)
				}
				if err := json.Unmarshal(stdout.Bytes(), &seen[i]); err != nil {
					t.Fatal(err)
				}
				if seen[i].PID != cmd.Process.Pid {
					t.Errorf("the command has process id %d, what was started has %d", seen[i].PID, cmd.Process.Pid)
				}
				seen[i].PID = 0
			}
			if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
				t.Errorf("plain and wrapped differ (-plain +wrapped):\n%s", diff)
			}
		})
	}
}

func eachWrap(t *testing.T, name string, test func(*testing.T, wrap)) {
	for delivery, wrap := range wraps {
		t.Run(name+" with "+delivery, func(t *testing.T) { test(t, wrap) })
	}
}

func TestExecLeavesOutItsOwnVariablesAndOverridesTheImage(t *testing.T) {
	_, program := tool(t)
	l := launch{argv: []string{program}, env: []string{actVariable + "=look", "KEY=of the image"}, values: map[string]string{"KEY": "the value"}}
	eachWrap(t, "a command", func(t *testing.T, wrap wrap) {
		cmd := wrap(l, t)
		cmd.Env = append(cmd.Env, "LANYARD_UNHEARD_OF=x")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var seen sight
		if err := json.Unmarshal(out, &seen); err != nil {
			t.Fatal(err)
		}
		want := map[string][]byte{actVariable: []byte("look"), "KEY": []byte("the value")}
		if diff := cmp.Diff(want, seen.Env); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
	})
}

func TestExecPassesSignalsAndExitCodes(t *testing.T) {
	_, program := tool(t)
	for name, tc := range map[string]struct {
		act    string
		signal syscall.Signal
		code   int // -1 if a signal ended it
	}{
		"an exit code":          {"fail", 0, 3},
		"SIGTERM that is taken": {"wait", syscall.SIGTERM, 7},
		"SIGKILL":               {"wait", syscall.SIGKILL, -1},
		"SIGHUP that is not":    {"wait", syscall.SIGHUP, -1},
	} {
		eachWrap(t, name, func(t *testing.T, wrap wrap) {
			cmd := wrap(launch{argv: []string{program}, env: []string{actVariable + "=" + tc.act}}, t)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if tc.signal != 0 {
				if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
					t.Fatalf("%q, %v", line, err)
				}
				if err := cmd.Process.Signal(tc.signal); err != nil {
					t.Fatal(err)
				}
			}
			err = cmd.Wait()
			var exited *exec.ExitError
			if !errors.As(err, &exited) || exited.ExitCode() != tc.code {
				t.Fatalf("ended with %v, want exit code %d", err, tc.code)
			}
			if status := exited.Sys().(syscall.WaitStatus); tc.code < 0 && status.Signal() != tc.signal {
				t.Errorf("ended by %v, want %v", status.Signal(), tc.signal)
			}
		})
	}
}

func TestExecSaysWhyItCannot(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"plain": {"#!/bin/sh\n", 0o644}, "orphan": {"#!/nonexistent/interpreter\n", 0o755}, "noise": {"no program", 0o755},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script.text), script.mode); err != nil {
			t.Fatal(err)
		}
	}
	crowd := map[string]string{}
	for i := range 100 {
		crowd[fmt.Sprintf("E%d", i)] = strings.Repeat(canary, 60<<10/len(canary))
	}
	inPath := []string{"PATH=" + dir}
	for name, tc := range map[string]struct {
		launch launch
		change func(*exec.Cmd)
		code   int
		want   string
	}{
		"no such path":               {launch{argv: []string{"/nonexistent/app"}}, nil, 127, `"/nonexistent/app" not found`},
		"nothing in PATH":            {launch{argv: []string{"app"}, env: inPath}, nil, 127, `"app" not found`},
		"no PATH":                    {launch{argv: []string{"sh"}}, nil, 127, `"sh" not found`},
		"a relative element of PATH": {launch{argv: []string{"sh"}, dir: "/bin", env: []string{"PATH=.::"}}, nil, 127, `"sh" not found`},
		"no command at all":          {launch{argv: []string{""}, env: inPath}, nil, 127, `"" not found`},
		"an interpreter that is not": {launch{argv: []string{"orphan"}, env: inPath}, nil, 127, "interpreter or loader"},
		"not executable":             {launch{argv: []string{"plain"}, env: inPath}, nil, 126, "permission denied"},
		"not a program":              {launch{argv: []string{filepath.Join(dir, "noise")}}, nil, 126, "neither a program"},
		"a directory":                {launch{argv: []string{dir}}, nil, 126, "is a directory"},
		"more than the kernel takes": {launch{argv: []string{"/bin/true"}, values: crowd}, nil, 126, "a quarter of the stack"},
		"no dash":                    {launch{argv: []string{"/bin/true"}}, func(c *exec.Cmd) { c.Args = []string{"lanyard-agent", "exec"} }, 13, "after \"--\""},
		"no values":                  {launch{argv: []string{"/bin/true"}}, func(c *exec.Cmd) { c.Env = []string{podspec.EnvValuesDir + "=/nonexistent"} }, 19, "reading values"},
		"no command after the dash":  {launch{argv: []string{"/bin/true"}}, func(c *exec.Cmd) { c.Args = c.Args[:3] }, 13, "no command"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.launch.values == nil {
				tc.launch.values = map[string]string{"KEY": canary}
			}
			cmd := tc.launch.wrapped(t)
			if tc.change != nil {
				tc.change(cmd)
			}
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tc.code || !strings.Contains(string(out), tc.want) || !strings.HasPrefix(string(out), "lanyard-agent: ") {
				t.Errorf("exit code %d: %s\nwant %d: … %s …", code, out, tc.code, tc.want)
			}
			if strings.Contains(string(out), "cAnArY") || strings.Count(string(out), "\n") != 1 {
				t.Errorf("it tells %q", out)
			}
		})
	}
}

// The whole way: the init agent fetches, copies itself and writes; the copy starts the command.
func TestTheInitAgentPreparesWrappedContainers(t *testing.T) {
	_, program := tool(t)
	const value = "it's\r\n\xff" + canary
	wrapped := envs("app", "KEY", "OTHER")
	wrapped.Delivery = "exec"
	p := newPod(t, serve(t, nil, answer(value, wrapped)), wrapped)
	dir := t.TempDir()
	bin, values := filepath.Join(dir, "bin"), filepath.Join(dir, "values")
	for _, d := range []string{bin, filepath.Join(values, "app")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.env[podspec.EnvBinDir], p.env[podspec.EnvValuesDir] = bin, values
	for range 2 { // as after a new sandbox
		p.start().exit(0)
	}
	p.wantFiles(map[string]string{}) // no env file, and no proof of one
	for path, mode := range map[string]os.FileMode{filepath.Join(bin, podspec.Binary): 0o555, filepath.Join(values, "app", podspec.ExecFile): 0o444} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %o", path, info, err, mode)
		}
	}
	if left, err := os.ReadDir(bin); err != nil || len(left) != 1 {
		t.Errorf("the directory of the binary holds %v, %v", left, err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, podspec.Binary), podspec.ModeExec, "--", program)
	cmd.Env = []string{actVariable + "=look", podspec.EnvValuesDir + "=" + filepath.Join(values, "app")}
	out, err := cmd.Output()
	var seen sight
	if err != nil || json.Unmarshal(out, &seen) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if string(seen.Env["KEY"]) != value || string(seen.Env["OTHER"]) != value {
		t.Error("the values are not what was sent")
	}
}

func TestTheInitAgentWritesFiles(t *testing.T) {
	for what, value := range map[string]string{"binary": "\x00it's\r\n\xff" + canary, "empty": ""} {
		t.Run(what, func(t *testing.T) {
			c := envs("app", "KEY", "OTHER")
			c.Delivery = "file"
			p := newPod(t, serve(t, nil, answer(value, c)), c)
			dir := filepath.Join(t.TempDir(), "app")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			p.env[podspec.EnvValuesDir] = filepath.Dir(dir)
			p.start().exit(0)
			for _, name := range c.Envs {
				path := filepath.Join(dir, name)
				got, err := os.ReadFile(path)
				if err != nil || string(got) != value {
					t.Errorf("%s is not what was sent (%v)", name, err)
				}
				if info, err := os.Stat(path); err != nil || info.Mode() != 0o444 {
					t.Errorf("%s: %v, %v", name, info, err)
				}
			}
		})
	}
}
