// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/hostnet"
	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
)

// destroy undoes everything and removes the directory with it. It goes on
// after an error, and keeps the directory then: it can be tried again.
func (c *Cluster) destroy(ctx context.Context) error {
	if err := c.tearDown(ctx); err != nil {
		return fmt.Errorf("removing cluster %q: %w", c.state.Name, err)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing cluster %q: %w", c.state.Name, err)
	}
	return nil
}

// tearDown undoes everything in the reverse order of making it:
//
//  1. the components that would restart or reconfigure what is removed next;
//  2. containerd, then the containers and their shims, found by control group
//     and by the socket they report to;
//  3. mounts, pod interfaces, packet filter rules, kernel settings;
//  4. files at fixed places, and the state file last.
//
// After a reboot the first two find nothing to do.
func (c *Cluster) tearDown(ctx context.Context) error {
	err := errors.Join(
		c.stopComponents(ctx),
		c.killContainers(ctx),
		unmountBelow(c.dir),
		c.restoreMachine(ctx),
	)
	if err != nil {
		return err
	}
	return os.Remove(c.path(stateFile))
}

func (c *Cluster) stopComponents(ctx context.Context) error {
	if c.state.BootID != bootID() {
		return nil
	}
	// The API server last: components end sooner when it answers.
	last := []string{apiServer, etcd, containerd}
	var first errgroup.Group
	for _, record := range c.state.Processes {
		if !slices.Contains(last, record.Name) {
			first.Go(func() error { return record.Stop(ctx, grace) })
		}
	}
	err := first.Wait()
	for _, name := range last {
		if record, ok := c.process(name); ok {
			// Nothing that they would write down is read again.
			err = errors.Join(err, record.Stop(ctx, 0))
		}
	}
	return err
}

// killContainers ends what containerd leaves running when it ends, and any
// component that was started but not yet recorded when its program was killed.
func (c *Cluster) killContainers(ctx context.Context) error {
	ids, err := c.containers()
	if err != nil {
		return err
	}
	return endAll(ctx, controlGroups(ids...), c.leftovers)
}

// endAll kills the processes that find returns, which are to include those in groups, until there are none, and removes the groups.
func endAll(ctx context.Context, groups []string, find func(groups []string) ([]process.Record, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		left, err := find(groups)
		if err == nil && len(left) == 0 {
			// Refused for the moment in which a killed process is still counted.
			err = removeControlGroups(groups)
			if err == nil {
				return nil
			}
		}
		for _, record := range left {
			err = errors.Join(err, record.Stop(ctx, 0))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ending containers: %d processes are left: %w", len(left), errors.Join(ctx.Err(), err))
		case <-poll.C:
		}
	}
}

func (c *Cluster) leftovers(groups []string) ([]process.Record, error) {
	inside, err := members(groups)
	if err != nil {
		return nil, err
	}
	ours, err := process.Find(func(args []string) bool {
		return c.isTool(args[0]) && slices.ContainsFunc(args[1:], func(arg string) bool { return strings.Contains(arg, c.dir+"/") })
	})
	return append(inside, ours...), err
}

func (c *Cluster) isTool(path string) bool {
	for _, dir := range c.state.Tools {
		if filepath.Dir(path) == dir {
			return true
		}
	}
	return false
}

func (c *Cluster) restoreMachine(ctx context.Context) error {
	problems := []error{hostnet.RemoveLink(ctx, c.state.Ranges)}
	if kubeProxy := c.tool("kubernetes", proxy); exists(kubeProxy) {
		// It knows of tables that we do not; what it leaves is removed next.
		_ = exec.CommandContext(ctx, kubeProxy, "--cleanup").Run()
	}
	problems = append(problems, hostnet.RemoveFilter(ctx))
	if c.state.BootID == bootID() {
		problems = append(problems, hostnet.RestoreSettings(c.state.Settings))
	}
	for _, dir := range c.state.Created {
		problems = append(problems, os.RemoveAll(dir))
	}
	problems = append(problems, c.removeLogLinks())
	return errors.Join(problems...)
}

// removeLogLinks removes the links to our pods' logs from a directory that we
// may share.
func (c *Cluster) removeLogLinks() error {
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, c.dir+"/") {
			if err := os.Remove(link); err != nil {
				return err
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
