// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

// helperVariable makes this test binary start the named cluster and wait to be killed.
const helperVariable = "LANYARD_CLUSTER_TEST_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		if err := startAndWait(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func startAndWait(name string) error {
	ctx := context.Background()
	c, err := cluster.Start(ctx, cluster.Config{Name: name, Driver: cluster.Host, Progress: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Println(c.Kubeconfig())
	select {}
}

// TestWhatAKilledProgramLeavesIsRemoved kills programs that started a cluster,
// one in the middle of starting it and one while a pod runs in it. The next start
// must find a machine like new, and Remove must leave one.
func TestWhatAKilledProgramLeavesIsRemoved(t *testing.T) {
	remove := func(ctx context.Context) error {
		return cluster.Remove(ctx, cluster.Config{Name: "crash", Driver: cluster.Host})
	}
	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t)
	t.Cleanup(func() { _ = remove(contextForCleanup()) })

	halfway := startHelper(t)
	log := filepath.Join(cluster.DefaultDir, "crash", "logs", "kubelet.log")
	eventually(t, func() error {
		_, err := os.Stat(log)
		return err
	})
	kill(t, halfway)

	complete := startHelper(t)
	awaitLine(t, complete)
	config := cluster.Config{Name: "crash"}
	c, err := cluster.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "probe.tar")
	if err := cluster.BuildImage(t.Context(), "../images/probe", probeImage, archive); err != nil {
		t.Fatal(err)
	}
	if err := c.Load(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, c)
	f.create(t, envFilePod("survivor"))
	f.awaitRunning(t, "survivor")
	kill(t, complete)

	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.compare(t, snapshot(t))
}

type helper struct {
	*exec.Cmd
	lines chan string
}

func startHelper(t *testing.T) helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"=crash")
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	h := helper{cmd, make(chan string, 1)}
	go func() {
		defer close(h.lines)
		if scanner := bufio.NewScanner(stdout); scanner.Scan() {
			h.lines <- scanner.Text()
		}
	}()
	return h
}

func awaitLine(t *testing.T, h helper) {
	t.Helper()
	select {
	case _, ok := <-h.lines:
		if !ok {
			t.Fatal("the helper ended")
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the helper started no cluster within two minutes")
	}
}

func kill(t *testing.T, h helper) {
	t.Helper()
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.Wait() // by SIGKILL
}
