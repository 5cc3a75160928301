// SPDX-License-Identifier: Apache-2.0

package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Cache is a directory of built parts. Several programs may use it at once.
type Cache struct {
	// Dir is created if it does not exist.
	Dir string
	// Source is the directory e2e/cluster of a checkout.
	Source string
	// Progress receives lines for a person; it must not be nil.
	Progress io.Writer
}

// DefaultDir is $LANYARD_CACHE, or "lanyard" in the user's cache directory.
func DefaultDir() (string, error) {
	if dir := os.Getenv("LANYARD_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("locating the cache (set LANYARD_CACHE): %w", err)
	}
	return filepath.Join(dir, "lanyard"), nil
}

// Get returns the directory that holds the binaries of p, building them first
// if the cache has none. It blocks while another program builds the same part.
func (c Cache) Get(ctx context.Context, p Part) (string, error) {
	goVersion, err := c.goVersion(ctx)
	if err != nil {
		return "", err
	}
	key, err := p.key(c.Source, goVersion)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(c.Dir, "bin", p.Name+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("creating the cache: %w", err)
	}
	unlock, err := c.lock(ctx, p)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // built while we waited for the lock
	}

	// A directory under its final name is complete: it appears by rename. We hold
	// the lock, so one under another name is from a build that was killed.
	prefix := filepath.Join(filepath.Dir(dir), ".building-"+p.Name+"-")
	killed, _ := filepath.Glob(prefix + "*") // the only error is a malformed pattern
	for _, left := range killed {
		if err := os.RemoveAll(left); err != nil {
			return "", fmt.Errorf("removing a build that was killed: %w", err)
		}
	}
	building, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(prefix))
	if err != nil {
		return "", fmt.Errorf("creating the cache: %w", err)
	}
	defer os.RemoveAll(building)
	if err := c.build(ctx, p, building); err != nil {
		return "", fmt.Errorf("building %s: %w", p.Name, err)
	}
	if err := os.Rename(building, dir); err != nil {
		return "", fmt.Errorf("publishing %s: %w", p.Name, err)
	}
	return dir, nil
}

func (c Cache) build(ctx context.Context, p Part, out string) error {
	args := append([]string{"install"}, p.flags()...)
	args = append(args, p.Packages...)
	if p.Module != "" {
		args = append([]string{"build", "-mod=readonly", "-o", filepath.Join(out, p.Name)}, p.flags()...)
		args = append(args, ".")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = out // outside any module, as `go install path@version` wants it
	if p.Module != "" {
		cmd.Dir = filepath.Join(c.Source, p.Module)
	}
	// The caller's flags and workspace would change what is built under the same key.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOBIN="+out)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	// An interrupted build must not leave compilers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second

	done := c.report(p)
	err := cmd.Run()
	done(err == nil)
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, lastLines(output.String(), 30))
	}
	for _, alias := range p.Aliases {
		if err := os.Symlink(p.Name, filepath.Join(out, alias)); err != nil {
			return fmt.Errorf("naming %s: %w", alias, err)
		}
	}
	return nil
}

// report prints that a build goes on, at once and then every fifteen seconds,
// until the returned function is called.
func (c Cache) report(p Part) (done func(built bool)) {
	start := time.Now()
	fmt.Fprintf(c.Progress, "building %s (once; about %s on 2 cores)\n", p.Name, p.Cold)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(c.Progress, "building %s: %s\n", p.Name, time.Since(start).Round(time.Second))
			case <-stop:
				return
			}
		}
	}()
	return func(built bool) {
		close(stop)
		<-stopped
		if built {
			fmt.Fprintf(c.Progress, "built %s in %s\n", p.Name, time.Since(start).Round(time.Second))
		}
	}
}

// lock takes the build lock of p. The lock is the kernel's, so it ends with the
// program that holds it, however that ends.
func (c Cache) lock(ctx context.Context, p Part) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(c.Dir, p.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening build lock: %w", err)
	}
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for waiting := false; ; waiting = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("locking build of %s: %w", p.Name, err)
		}
		if !waiting {
			fmt.Fprintf(c.Progress, "waiting for another build of %s\n", p.Name)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for another build of %s: %w", p.Name, ctx.Err())
		case <-poll.C:
		}
	}
}

func (c Cache) goVersion(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir = c.Source
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its version (is Go installed?): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
