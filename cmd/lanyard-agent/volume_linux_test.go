// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// lines makes a value of n bytes that an env file can carry.
func lines(mark string, n int) string {
	line := mark + strings.Repeat(".", 99-len(mark)) + "\n"
	return strings.Repeat(line, n/100)
}

func TestAFullVolumeLeavesNothing(t *testing.T) {
	value := lines(canary, 60_000)
	p := newPod(t, serve(t, nil, answer(value, side, app)), side, app)
	var agent *process
	if os.Geteuid() == 0 {
		// What the kubelet does for a memory-backed emptyDir with sizeLimit 100Ki: the first file fits, the second does not.
		if err := syscall.Mount("tmpfs", p.dir, "tmpfs", 0, "size=100k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(p.dir, 0) })
		agent = p.start()
	} else {
		// Without the right to mount, a limit of the process stands for the volume's.
		cmd := p.command()
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `ulimit -f 128 && exec "$0"`, binary} // in units of 512 bytes
		agent = p.startCommand(cmd)
	}
	_, message := agent.exit(14)
	if os.Geteuid() == 0 && !strings.Contains(message, "raise its sizeLimit, which is 100Ki: ") {
		t.Errorf("termination message: %s", message)
	}
	p.wantFiles(map[string]string{})
}

func TestAReadOnlyVolume(t *testing.T) {
	p := newPod(t, serve(t, nil, answer(canary, app)), app)
	if os.Geteuid() == 0 {
		if err := syscall.Mount("tmpfs", p.dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(p.dir, 0) })
	} else if err := os.Chmod(p.dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, message := p.start().exit(14); !strings.Contains(message, ".app.env.tmp") {
		t.Errorf("termination message: %s", message)
	}
	p.wantFiles(map[string]string{})
}

// TestKillingItLeavesOldOrNew kills the agent in every stage of its writing: no file may be partial and none of the old set may stand beside one of the new.
func TestKillingItLeavesOldOrNew(t *testing.T) {
	old, fresh := lines("old", 60_000), lines("new", 60_000)
	stages := map[string]func(names []string) bool{ // :: told by the names in the directory
		"it has just begun":           func([]string) bool { return true },
		"a temporary file exists":     func(names []string) bool { return slices.Contains(names, ".app.env.tmp") },
		"every temporary file exists": func(names []string) bool { return slices.Contains(names, ".side.env.tmp") },
		"an old file is gone":         func(names []string) bool { return !slices.Contains(names, "app.env") },
		"a new file is there": func(names []string) bool {
			return !slices.Contains(names, ".app.env.tmp") && slices.Contains(names, ".side.env.tmp")
		},
		"the last file is being moved": func(names []string) bool { return !slices.Contains(names, "side.env") },
	}
	for name, reached := range stages {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				var current atomic.Value // a killed agent's request may still be in its handler when the next answer is set
				current.Store(answer(old, app, side))
				p := newPod(t, serve(t, nil, func(w http.ResponseWriter, r *http.Request) { current.Load().(http.HandlerFunc)(w, r) }), app, side)
				p.start().exit(0)
				current.Store(answer(fresh, app, side))
				p.killWhen(reached)
				p.wantOldOrNew(written(old), written(fresh))
				current.Store(answer("last", app, side))
				p.start().exit(0) // whatever was left is no obstacle
				p.wantFiles(written("last"))
			}
		})
	}
}

// killWhen starts the agent and kills it as soon as the directory is as reached wants it, or lets it end if that was too short to be seen.
func (p *pod) killWhen(reached func(names []string) bool) {
	p.t.Helper()
	agent := p.command()
	if err := agent.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = agent.Wait(); close(ended) }()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		select {
		case <-ended:
			return
		default:
		}
		d, err := os.Open(p.dir)
		if err != nil {
			p.t.Fatal(err)
		}
		names, _ := d.Readdirnames(-1)
		_ = d.Close()
		if reached(names) {
			break
		}
	}
	_ = agent.Process.Kill()
	<-ended
}

func (p *pod) wantOldOrNew(old, fresh map[string]string) {
	p.t.Helper()
	seen := make(map[string]int)
	for name := range old {
		data, err := os.ReadFile(filepath.Join(p.dir, name))
		switch {
		case os.IsNotExist(err):
		case err != nil:
			p.t.Fatal(err)
		case string(data) == old[name]:
			seen["old"]++
		case string(data) == fresh[name]:
			seen["new"]++
		default:
			p.t.Errorf("%s is neither old nor new", name)
		}
	}
	if len(seen) > 1 {
		p.t.Errorf("old and new files stand side by side: %v", seen)
	}
}

func TestTheProcessIsHardened(t *testing.T) {
	asked, done := make(chan struct{}), make(chan struct{})
	p := newPod(t, serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-done
		answer(canary, app)(w, r)
	}), app)
	agent := p.start()
	<-asked
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(agent.cmd.Process.Pid) + "/limits")
	close(done)
	agent.exit(0)
	if err != nil && !errors.Is(err, os.ErrPermission) { // an undumpable process belongs to root
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") && strings.Join(strings.Fields(line)[4:6], " ") != "0 0" {
			t.Errorf("core files are allowed: %s", line)
		}
	}
}
