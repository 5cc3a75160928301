// SPDX-License-Identifier: Apache-2.0

// Package process starts long-lived processes that outlive the program that
// started them, and stops exactly those later, from another program if need
// be.
//
// A process id alone does not name a process: ids are reused. A Record
// therefore also holds the moment the kernel started the process, and nothing
// here sends a signal before that moment has been compared.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Record names one process on this boot of this machine. It is stored as JSON.
type Record struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Started is the start time in clock ticks since boot, field 22 of /proc/PID/stat.
	Started uint64 `json:"started"`
}

// Command describes a process to start.
type Command struct {
	Name string
	Path string
	Args []string
	// Env is appended to a minimal environment: PATH, HOME and LANG=C.
	Env []string
	Dir string
	// Log receives standard output and standard error; it is appended to.
	Log string
}

// Process is a running process that this program started.
type Process struct {
	Record
	exited chan struct{}
	err    error // how the process ended; read after exited is closed
}

// Start runs c in a session of its own, so that it survives this program and
// the terminal. It returns as soon as the process exists.
func Start(c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log of %s: %w", c.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(c.Path, c.Args...)
	// argv[0] is the component's name: one file may hold several components.
	cmd.Args[0] = filepath.Join(filepath.Dir(c.Path), c.Name)
	cmd.Dir = c.Dir
	cmd.Env = slices.Concat([]string{"PATH=" + searchPath, "HOME=/root", "LANG=C"}, c.Env)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}

	p := &Process{Record: Record{Name: c.Name, PID: cmd.Process.Pid}, exited: make(chan struct{})}
	// Not yet waited for, so the id cannot have been reused.
	stat, statErr := readStat(p.PID)
	p.Started = stat.started
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if statErr != nil {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("recording %s: %w", c.Name, statErr)
	}
	return p, nil
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exited is closed when the process has ended and been reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err reports how the process ended. It blocks until then.
func (p *Process) Err() error {
	<-p.exited
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Alive reports whether the recorded process still runs. A zombie does not.
func (r Record) Alive() bool {
	stat, err := readStat(r.PID)
	return err == nil && stat.started == r.Started && stat.state != 'Z' && stat.state != 'X'
}

// Signal sends s to the process if it still runs, and does nothing otherwise.
func (r Record) Signal(s os.Signal) error {
	// FindProcess holds a pidfd: if the id is reused between the check and the
	// signal, the signal goes nowhere.
	handle, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("finding %s: %w", r.Name, err)
	}
	defer handle.Release()
	if !r.Alive() {
		return nil
	}
	if err := handle.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling %s: %w", r.Name, err)
	}
	return nil
}

// Stop sends SIGTERM, waits up to grace, then sends SIGKILL and waits again.
// It returns nil once the process is gone, and also if it already was.
func (r Record) Stop(ctx context.Context, grace time.Duration) error {
	if err := r.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if r.gone(ctx, grace) {
		return nil
	}
	if err := r.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !r.gone(ctx, 10*time.Second) {
		return fmt.Errorf("stopping %s: process %d survives SIGKILL", r.Name, r.PID)
	}
	return nil
}

// gone polls: the process may be no child of ours, and then nothing announces its end.
func (r Record) gone(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for r.Alive() {
		select {
		case <-ctx.Done():
			return !r.Alive()
		case <-poll.C:
		}
	}
	return true
}
