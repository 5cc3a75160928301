// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// grace is how long a component has to end by itself.
const grace = 10 * time.Second

// Load imports images from archives as `docker save` writes them.
func (c *Cluster) Load(ctx context.Context, archives ...string) error {
	for _, archive := range archives {
		path, err := filepath.Abs(archive)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, c.tool("containerd", "ctr"),
			"--address", c.path("containerd.sock"), "--namespace", "k8s.io", "images", "import", "--no-unpack", path)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("importing %s: %w: %s", archive, err, bytes.TrimSpace(output))
		}
	}
	return nil
}

// TrustRegistry has containerd, which looks at each pull, check the certificate
// of the registry at host against a PEM authority.
func (c *Cluster) TrustRegistry(host string, authority []byte) error {
	dir := c.path("registries", host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, authority, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hosts.toml"), fmt.Appendf(nil, "server = %[1]q\n[host.%[1]q]\n  ca = %[2]q\n", "https://"+host, ca), 0o644)
}

// RestartKubelet restarts the kubelet with the given feature gates, and with
// its defaults for all others; nil restores all defaults. Running pods go on. It
// returns once the node is ready again.
func (c *Cluster) RestartKubelet(ctx context.Context, gates map[string]bool) error {
	c.state.Gates = maps.Clone(gates)
	if err := c.writeKubeletConfig(); err != nil {
		return err
	}
	if err := c.stop(ctx, kubelet); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	// The node stays "ready" for most of a minute without a kubelet, so what is
	// awaited is a heartbeat of the new one.
	since, err := client.heartbeat(ctx)
	if err != nil {
		return err
	}
	if err := c.start(kubelet); err != nil {
		return err
	}
	return c.await(ctx, kubelet, time.Minute, func(ctx context.Context) error { return client.beatsSince(ctx, since) })
}

// StopAPIServer kills the API server. Asked to end, it would first wait a
// minute for its watchers to go.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	record, ok := c.process(apiServer)
	if !ok {
		return nil
	}
	return record.Stop(ctx, 0)
}

// StartAPIServer starts the API server again and returns once it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if record, ok := c.process(apiServer); ok && record.Alive() {
		return nil
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := c.start(apiServer); err != nil {
		return err
	}
	return c.await(ctx, apiServer, time.Minute, client.ready)
}

func (c *Cluster) stop(ctx context.Context, name string) error {
	record, ok := c.process(name)
	if !ok {
		return nil
	}
	return record.Stop(ctx, grace)
}
