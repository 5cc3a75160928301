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
	"slices"
	"strconv"
	"strings"
	"sync"
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
	dir := c.directory(p, key)
	if exists(dir) {
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
	if exists(dir) {
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

// GetAll is Get for several parts and returns their directories by name. While
// it builds, it downloads what All need.
func (c Cache) GetAll(ctx context.Context, parts ...Part) (map[string]string, error) {
	fetching, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { c.fetch(fetching, All()...) })
	defer func() { stop(); background.Wait() }()

	dirs := make(map[string]string, len(parts))
	for _, part := range parts {
		dir, err := c.Get(ctx, part)
		if err != nil {
			return nil, err
		}
		dirs[part.Name] = dir
	}
	return dirs, nil
}

func (c Cache) build(ctx context.Context, p Part, out string) error {
	target := out + string(filepath.Separator) // a directory: each command under its own name
	if len(p.Packages) == 0 {
		target = filepath.Join(out, p.Name)
	}
	args := slices.Concat([]string{"build", "-mod=readonly", "-o", target}, p.flags(), p.commands())
	cmd := c.goCommand(ctx, p, args)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	defer UseHugePages()()
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

// fetched are the builds whose modules this program has downloaded or is
// downloading: what builds beside a starting cluster needs the same ones.
var fetched sync.Map // :: directory → nothing

// fetch downloads the modules of those parts that the cache has no binaries of,
// and blocks until it has or ctx ends. Downloads wait for the network and
// builds for processors, so both go on at once. What goes wrong is
// left to Get, which needs the same modules.
func (c Cache) fetch(ctx context.Context, parts ...Part) {
	goVersion, err := c.goVersion(ctx)
	if err != nil {
		return
	}
	for _, p := range parts {
		key, err := p.key(c.Source, goVersion)
		if err != nil || exists(c.directory(p, key)) {
			continue
		}
		if _, again := fetched.LoadOrStore(c.directory(p, key), nil); again {
			continue
		}
		list := []string{"list", "-deps", "-mod=readonly"}
		if p.Tags != "" {
			list = append(list, "-tags", p.Tags)
		}
		_ = c.goCommand(ctx, p, append(list, p.commands()...)).Run()
	}
}

// goCommand returns the command go for the module of p.
func (c Cache) goCommand(ctx context.Context, p Part, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(c.Source, p.Name)
	cgo := "CGO_ENABLED=0"
	if p.Cgo {
		cgo = "CGO_ENABLED=1"
	}
	// The caller's flags and workspace would change what is built under the same key.
	cmd.Env = append(os.Environ(), cgo, "GOFLAGS=", "GOWORK=off")
	// An interrupted build must not leave compilers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// directory is where the binaries of p are, once they are built.
func (c Cache) directory(p Part, key string) string {
	return filepath.Join(c.Dir, "bin", p.Name+"-"+key)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
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
	for told := false; ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			if err := hold(file); err != nil {
				file.Close()
				return nil, err
			}
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("locking build of %s: %w", p.Name, err)
		}
		if holder := holderOf(file); !told && holder != "" && holder != strconv.Itoa(os.Getpid()) {
			fmt.Fprintf(c.Progress, "waiting for process %s, which builds %s\n", holder, p.Name)
			told = true
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for another build of %s: %w", p.Name, ctx.Err())
		case <-poll.C:
		}
	}
}

// hold writes into a lock file which process has it, for those who wait.
func hold(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return fmt.Errorf("writing build lock: %w", err)
	}
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("writing build lock: %w", err)
	}
	return nil
}

// holderOf returns the process that has a lock file, or nothing if it has not written that yet.
func holderOf(file *os.File) string {
	content := make([]byte, 20)
	n, _ := file.ReadAt(content, 0) // it ends before the buffer does
	return string(content[:n])
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
