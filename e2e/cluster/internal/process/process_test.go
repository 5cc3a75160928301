// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tests := map[string]struct {
		line string
		want stat
		fail bool
	}{
		"an ordinary line": {
			line: "42 (etcd) S 1 42 42 0 -1 4194560 1 0 0 0 5 3 0 0 20 0 9 0 123456 1000 200 18446744073709551615",
			want: stat{state: 'S', started: 123456},
		},
		"a command name with spaces and parentheses": {
			line: "42 (a) R (b 7) Z 1 42 42 0 -1 4194560 1 0 0 0 5 3 0 0 20 0 9 0 99 1000 200",
			want: stat{state: 'Z', started: 99},
		},
		"a line that ends early":  {line: "42 (etcd) S 1 42", fail: true},
		"a line without a name":   {line: "42 etcd S 1 42", fail: true},
		"a start time of letters": {line: "42 (x) S 1 42 42 0 -1 4194560 1 0 0 0 5 3 0 0 20 0 9 0 abc 1 2", fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(test.line))
			if (err != nil) != test.fail {
				t.Fatalf("got error %v, want failure %t", err, test.fail)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestStopEndsExactlyTheRecordedProcess(t *testing.T) {
	p, err := Start(Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"600"}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(t.Context(), 0) })

	reused := p.Record
	reused.Started--
	if reused.Alive() {
		t.Error("a process with the same id but another start time counts as alive")
	}
	if err := reused.Stop(t.Context(), time.Second); err != nil {
		t.Errorf("stopping a record whose process is gone: %v", err)
	}
	if !p.Alive() {
		t.Fatal("stopping a stale record ended the process that now has its id")
	}
	found, err := Find(func(args []string) bool { return slices.Contains(args, "600") && args[0] == "/bin/sleep" })
	if err != nil || !slices.ContainsFunc(found, func(r Record) bool { return r.PID == p.PID && r.Started == p.Started }) {
		t.Errorf("finding by arguments: got %v, %v", found, err)
	}

	if err := p.Stop(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("the process is alive after Stop")
	}
	if got := p.Err().Error(); got != "signal: terminated" {
		t.Errorf("got end %q, want the process to end by SIGTERM", got)
	}
}

func TestStopKillsAProcessThatIgnoresSIGTERM(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	p, err := Start(Command{Name: "sh", Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; : > " + ready + "; exec sleep 600"}, Log: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		select {
		case <-p.Exited():
			t.Fatal(p.Err())
		case <-poll.C:
		}
	}
	t.Cleanup(func() { _ = p.Signal(os.Kill) })
	if err := p.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := p.Err().Error(); got != "signal: killed" {
		t.Errorf("got end %q, want SIGKILL", got)
	}
}
