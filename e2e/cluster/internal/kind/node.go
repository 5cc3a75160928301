// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/yaml"
)

const (
	kubeletConfig = "/var/lib/kubelet/config.yaml"
	// pristine keeps the kubelet's configuration as kind made it.
	pristine = kubeletConfig + ".pristine"
	// The kubelet runs what is in the first directory.
	manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	parked   = "/etc/kubernetes/kube-apiserver.yaml"
	admin    = "/etc/kubernetes/admin.conf"
	vault    = "/usr/local/bin/vault-for-tests"
	token    = "/run/vault.token"
)

// Load imports images from archives as `docker save` writes them.
func (c *Cluster) Load(_ context.Context, archives ...string) error {
	for _, archive := range archives {
		file, err := os.Open(archive)
		if err != nil {
			return fmt.Errorf("opening image: %w", err)
		}
		err = nodeutils.LoadImageArchive(c.node, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("importing %s: %w", archive, err)
		}
	}
	return nil
}

// TrustRegistry has containerd, which looks at each pull, check the certificate
// of the registry at host against a PEM authority.
func (c *Cluster) TrustRegistry(host string, authority []byte) error {
	dir := "/etc/containerd/certs.d/" + host
	hosts := fmt.Sprintf("server = %[1]q\n[host.%[1]q]\n  ca = %[2]q\n", "https://"+host, dir+"/ca.crt")
	return errors.Join(nodeutils.WriteFile(c.node, dir+"/ca.crt", string(authority)), nodeutils.WriteFile(c.node, dir+"/hosts.toml", hosts))
}

// RestartKubelet restarts the kubelet with the given feature gates, and with
// those kind set for all others.
func (c *Cluster) RestartKubelet(ctx context.Context, gates map[string]bool) error {
	if err := c.shell(ctx, "[ -e "+pristine+" ] || cp "+kubeletConfig+" "+pristine); err != nil {
		return err
	}
	var original bytes.Buffer
	if err := c.node.CommandContext(ctx, "cat", pristine).SetStdout(&original).Run(); err != nil {
		return fmt.Errorf("reading the kubelet's configuration: %w", err)
	}
	changed, err := withGates(original.Bytes(), gates)
	if err != nil {
		return err
	}
	if err := nodeutils.WriteFile(c.node, kubeletConfig, string(changed)); err != nil {
		return fmt.Errorf("writing the kubelet's configuration: %w", err)
	}
	// The node stays "ready" for a while without a kubelet, so a heartbeat that
	// differs is awaited.
	before := c.heartbeat(ctx)
	if err := c.shell(ctx, "systemctl restart kubelet"); err != nil {
		return err
	}
	return poll(ctx, time.Minute, func() error { return c.beatsAfter(ctx, before) })
}

// RestartNode restarts the node's container, and with it the control plane.
func (c *Cluster) RestartNode(ctx context.Context) error {
	before := c.heartbeat(ctx)
	if output, err := exec.CommandContext(ctx, "docker", "restart", "--time=0", c.node.String()).CombinedOutput(); err != nil {
		return fmt.Errorf("restarting the container: %w: %s", err, bytes.TrimSpace(output))
	}
	return poll(ctx, 3*time.Minute, func() error { return c.beatsAfter(ctx, before) })
}

// beatsAfter returns nil once the node is ready and its heartbeat is not the one given.
func (c *Cluster) beatsAfter(ctx context.Context, before string) error {
	now := c.heartbeat(ctx)
	if status, time, _ := strings.Cut(now, " "); status != "True" || time == "" || now == before {
		return errors.New("no heartbeat of a ready node yet")
	}
	return nil
}

// withGates returns a kubelet configuration with feature gates added.
func withGates(config []byte, gates map[string]bool) ([]byte, error) {
	var parsed map[string]any
	if err := yaml.Unmarshal(config, &parsed); err != nil {
		return nil, fmt.Errorf("parsing the kubelet's configuration: %w", err)
	}
	all, _ := parsed["featureGates"].(map[string]any)
	if all == nil {
		all = make(map[string]any)
	}
	for name, value := range gates {
		all[name] = value
	}
	parsed["featureGates"] = all
	changed, err := json.Marshal(parsed) // JSON is YAML
	if err != nil {
		return nil, fmt.Errorf("encoding the kubelet's configuration: %w", err)
	}
	return changed, nil
}

func (c *Cluster) heartbeat(ctx context.Context) string {
	var out bytes.Buffer
	const path = `jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}`
	if err := c.node.CommandContext(ctx, "kubectl", "--kubeconfig", admin, "get", "node", c.NodeName(), "-o", path).SetStdout(&out).Run(); err != nil {
		return ""
	}
	return strings.TrimSpace(out.String())
}

// StopAPIServer takes the API server's manifest away from the kubelet.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	if err := c.shell(ctx, "[ ! -e "+manifest+" ] || mv "+manifest+" "+parked); err != nil {
		return err
	}
	return poll(ctx, time.Minute, func() error {
		return c.shell(ctx, `[ -z "$(crictl ps -q --name kube-apiserver)" ]`)
	})
}

// StartAPIServer gives the manifest back and waits for the API server.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.shell(ctx, "[ ! -e "+parked+" ] || mv "+parked+" "+manifest); err != nil {
		return err
	}
	return poll(ctx, time.Minute, func() error {
		return c.shell(ctx, "kubectl --kubeconfig "+admin+" get --raw /readyz")
	})
}

// StartVault runs the static binary inside the node: pods and this machine
// both reach the node's address.
func (c *Cluster) StartVault(ctx context.Context, binary string) (address, rootToken string, err error) {
	file, err := os.Open(binary)
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	if err := c.shell(ctx, "systemctl stop "+unit+" 2>/dev/null; systemctl reset-failed "+unit+" 2>/dev/null; rm -f "+token+" "+vault); err != nil {
		return "", "", err
	}
	if err := c.node.CommandContext(ctx, "sh", "-c", "cat >"+vault+" && chmod 755 "+vault).SetStdin(file).Run(); err != nil {
		return "", "", fmt.Errorf("copying the binary: %w", err)
	}
	listen := c.address.String() + ":8200"
	if err := c.shell(ctx, "systemd-run --unit "+unit+" "+vault+" -listen="+listen+" -root-token-file="+token); err != nil {
		return "", "", err
	}
	var out bytes.Buffer
	err = poll(ctx, time.Minute, func() error {
		out.Reset()
		return c.node.CommandContext(ctx, "cat", token).SetStdout(&out).Run()
	})
	return "http://" + listen, out.String(), err
}

// StopVault stops the unit, if there is one.
func (c *Cluster) StopVault(ctx context.Context) error {
	return c.shell(ctx, "systemctl stop "+unit+" 2>/dev/null || ! systemctl is-active --quiet "+unit)
}

const unit = "vault-for-tests" // of systemd in the node

func (c *Cluster) shell(ctx context.Context, script string) error {
	var output bytes.Buffer
	if err := c.node.CommandContext(ctx, "sh", "-c", script).SetStdout(&output).SetStderr(&output).Run(); err != nil {
		return fmt.Errorf("running %q in the node: %w: %s", script, err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}

func poll(ctx context.Context, within time.Duration, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
