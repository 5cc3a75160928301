// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
)

// RestartNode does to the node what a power cut and a boot do, the control plane
// aside: every container dies at once, what was in memory is gone, and
// containerd and the kubelet begin anew with what is on disk. It returns once the
// node is ready; its pods are then on their way.
func (c *Cluster) RestartNode(ctx context.Context) error {
	ids, err := c.containers()
	if err != nil {
		return err
	}
	for _, name := range []string{kubelet, containerd} {
		if record, ok := c.process(name); ok {
			if err := record.Stop(ctx, 0); err != nil {
				return err
			}
		}
	}
	if err := endAll(ctx, controlGroups(ids...), c.podProcesses); err != nil {
		return err
	}
	if err := errors.Join(unmountBelow(c.path("kubelet")), unmountBelow(c.path("containerd")), os.RemoveAll(c.path("containerd", "state"))); err != nil {
		return fmt.Errorf("forgetting what was in memory: %w", err)
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	since, err := client.heartbeat(ctx)
	if err != nil {
		return err
	}
	if err := c.start(containerd); err != nil {
		return err
	}
	if err := c.await(ctx, containerd, time.Minute, c.dialRuntime); err != nil {
		return err
	}
	if err := c.start(kubelet); err != nil {
		return err
	}
	return c.await(ctx, kubelet, time.Minute, func(ctx context.Context) error { return client.beatsSince(ctx, since) })
}

// podProcesses returns what runs in the containers of groups, and the shims of all.
func (c *Cluster) podProcesses(groups []string) ([]process.Record, error) {
	inside, err := members(groups)
	if err != nil {
		return nil, err
	}
	shims, err := process.Find(func(args []string) bool {
		return strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") && slices.ContainsFunc(args[1:], func(arg string) bool { return strings.Contains(arg, c.dir+"/") })
	})
	return append(inside, shims...), err
}
