// SPDX-License-Identifier: Apache-2.0

package toolchain

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lanyard-dev/lanyard/tools/image"
)

// newCache returns a cache whose source has one module, "hello", that prints main.word.
func newCache(t *testing.T) (Cache, Part) {
	t.Helper()
	source := t.TempDir()
	write(t, filepath.Join(source, "hello", "go.mod"), "module example.org/hello\n\ngo 1.26\n")
	write(t, filepath.Join(source, "hello", "main.go"), "package main\n\nvar word = \"unset\"\n\nfunc main() { println(word) }\n")
	cache := Cache{Dir: t.TempDir(), Source: source, Progress: io.Discard}
	return cache, Part{Name: "hello", Variables: map[string]string{"main.word": "hi"}, Aliases: []string{"hallo"}}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGetBuildsOnceForAllWhoAskAtTheSameTime(t *testing.T) {
	cache, part := newCache(t)
	var progress safeBuffer
	cache.Progress = &progress
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			dir, err := cache.Get(t.Context(), part)
			if err != nil {
				t.Error(err)
				return
			}
			out, err := exec.Command(filepath.Join(dir, "hallo")).CombinedOutput()
			if err != nil || string(out) != "hi\n" {
				t.Errorf("running the binary by its alias: got %q, %v", out, err)
			}
		})
	}
	wait.Wait()
	if got := strings.Count(progress.String(), "built hello in"); got != 1 {
		t.Errorf("got %d builds, want 1:\n%s", got, progress.String())
	}
}

func TestGetBuildsAgainWhenTheSourceOrFlagsChange(t *testing.T) {
	cache, part := newCache(t)
	seen := make(map[string]string)
	expectNew := func(change string) {
		t.Helper()
		dir, err := cache.Get(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		if earlier, ok := seen[dir]; ok {
			t.Errorf("after %q: got the build of %q", change, earlier)
		}
		seen[dir] = change
	}
	expectNew("nothing")
	write(t, filepath.Join(cache.Source, "hello", "other.go"), "package main\n")
	expectNew("a source file")
	write(t, filepath.Join(cache.Source, "hello", "part", "part.go"), "package part\n")
	expectNew("a file of another package")
	part.Variables = map[string]string{"main.word": "ho"}
	expectNew("a linker flag")
	part.Tags = "other"
	expectNew("a build tag")

	write(t, filepath.Join(cache.Source, "hello", "main_test.go"), "package main\n")
	dir, err := cache.Get(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := seen[dir]; !ok {
		t.Error("a test file changed the build")
	}
}

func TestAFailedBuildExplainsItselfAndLeavesNothing(t *testing.T) {
	cache, part := newCache(t)
	write(t, filepath.Join(cache.Source, "hello", "broken.go"), "package main\n\nvar x int = \"text\"\n")
	write(t, filepath.Join(cache.Dir, "bin", ".building-hello-1", "hello"), "half of a build that was killed")
	_, err := cache.Get(t.Context(), part)
	if err == nil || !strings.Contains(err.Error(), "broken.go:3") {
		t.Errorf("got %v, want the compiler's message", err)
	}
	left, err := os.ReadDir(filepath.Join(cache.Dir, "bin"))
	if err != nil || len(left) != 0 {
		t.Errorf("got %v, %v left in the cache, want nothing", left, err)
	}
}

func TestMakeCompilesCommandsWithTheFlagsOfTheParts(t *testing.T) {
	source, err := FindSource()
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(source, "..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	flag, value, _ := strings.Cut(image.QuickFlag, "=")
	if want := "go -C e2e build -trimpath " + flag + `="` + value + `"` + "\n"; !strings.Contains(string(makefile), want) {
		t.Errorf("the Makefile compiles with other flags than the parts, so what they share is compiled twice; want %s", want)
	}
}

func TestHugePagesAreGivenBack(t *testing.T) {
	setting := filepath.Join(t.TempDir(), "enabled")
	for _, c := range []struct{ before, during, after string }{
		{"always [madvise] never\n", "always", "madvise"},
		{"[always] madvise never\n", "[always] madvise never\n", "[always] madvise never\n"},
		{"always madvise [never]\n", "always madvise [never]\n", "always madvise [never]\n"},
	} {
		write(t, setting, c.before)
		builds := users{setting: setting}
		first := builds.add()
		second := builds.add()
		first()
		during, _ := os.ReadFile(setting)
		second()
		after, _ := os.ReadFile(setting)
		if string(during) != c.during || string(after) != c.after {
			t.Errorf("of %q: got %q and then %q, want %q and %q", c.before, during, after, c.during, c.after)
		}
	}
	(&users{setting: filepath.Join(t.TempDir(), "none")}).add()()
}

func TestOnlyABuildOfAnotherProcessIsToldOf(t *testing.T) {
	part := Part{Name: "part"}
	var progress safeBuffer
	cache := Cache{Dir: t.TempDir(), Progress: &progress}
	unlock, err := cache.lock(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	wait := func() string {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := cache.lock(ctx, part); !errors.Is(err, context.Canceled) {
			t.Fatalf("locked twice: %v", err)
		}
		return progress.String()
	}
	if told := wait(); told != "" {
		t.Errorf("waiting for this process says %q", told)
	}
	write(t, filepath.Join(cache.Dir, "part.lock"), "4711")
	if told, want := wait(), "waiting for process 4711, which builds part\n"; told != want {
		t.Errorf("waiting for another process says %q, want %q", told, want)
	}
}

func TestKubernetesReportsTheVersionItIsBuiltFrom(t *testing.T) {
	source, err := FindSource()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := os.ReadFile(filepath.Join(source, "kubernetes", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(modules), "k8s.io/kubernetes "+KubernetesVersion+"\n") {
		t.Errorf("kubernetes/go.mod does not require %s", KubernetesVersion)
	}
}

type safeBuffer struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
