// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/hostnet"
	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
	"github.com/lanyard-dev/lanyard/e2e/internal/pki"
)

// fixed are the directories that containerd, the kubelet and the CNI library
// make wherever they are told to work.
var fixed = []string{"/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods", "/usr/libexec/kubernetes"}

// claim chooses addresses and records what is about to change.
func (c *Cluster) claim(ctx context.Context, config Config, tools map[string]string) error {
	found, err := hostnet.KubernetesChains(ctx)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("this machine is a Kubernetes node already (packet filter chain %q), and can be only one", found[0])
	}
	if hostnet.Exists(ctx, hostnet.Link) {
		return fmt.Errorf("this machine has a network interface %q that no cluster below %s owns; hint: `ip link delete %s`", hostnet.Link, config.Root, hostnet.Link)
	}
	used, err := hostnet.Used(ctx)
	if err != nil {
		return err
	}
	ranges, err := hostnet.Choose(used)
	if err != nil {
		return err
	}
	c.state = state{Name: config.Name, BootID: bootID(), Ranges: ranges, Settings: hostnet.Settings(), Tools: tools}
	if !config.Detached {
		owner, err := process.Identify(os.Getpid())
		if err != nil {
			return fmt.Errorf("identifying this program: %w", err)
		}
		c.state.Owner = &owner
	}
	for _, dir := range fixed {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			c.state.Created = append(c.state.Created, dir)
		}
	}

	// Logs of a start that failed may be left; nothing else may.
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing an earlier directory: %w", err)
	}
	for _, dir := range []string{"", "config", "pki", "logs", "cni", "kubelet", "pod-logs", "flexvolume", "containerd"} {
		// Traversable: containers of any user have volumes and their root below.
		if err := os.MkdirAll(c.path(dir), 0o711); err != nil {
			return fmt.Errorf("creating the cluster's directory: %w", err)
		}
	}
	return c.save()
}

// bringUp starts everything. The order is that of dependencies, but what can
// wait for its dependency itself is started at once.
func (c *Cluster) bringUp(ctx context.Context, config Config, m machine) error {
	fmt.Fprintf(config.Progress, "starting Kubernetes in %s\n", c.dir)
	if err := c.start(etcd); err != nil {
		return err
	}
	if err := c.writeCredentials(); err != nil {
		return err
	}
	if err := c.writeNodeConfig(m); err != nil {
		return err
	}
	if err := c.writeKubeletConfig(); err != nil {
		return err
	}
	if err := errors.Join(hostnet.AddLink(ctx, c.state.Ranges), hostnet.AddFilter(ctx, c.state.Ranges), hostnet.Forward()); err != nil {
		return fmt.Errorf("preparing the network: %w", err)
	}
	for _, name := range []string{apiServer, containerd} {
		if err := c.start(name); err != nil {
			return err
		}
	}
	pause := c.path("config", "pause.tar")
	if err := config.Pause(ctx, pause); err != nil {
		return fmt.Errorf("building the pause image: %w", err)
	}
	if err := c.await(ctx, containerd, time.Minute, c.dialRuntime); err != nil {
		return err
	}
	if err := c.Load(ctx, pause); err != nil {
		return err
	}
	if err := c.start(kubelet); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := c.await(ctx, apiServer, time.Minute, client.ready); err != nil {
		return err
	}
	for _, name := range []string{controllerManager, scheduler, proxy, dns} {
		if err := c.start(name); err != nil {
			return err
		}
	}
	if err := errors.Join(c.addDefaults(ctx, client), c.addNameService(ctx, client)); err != nil {
		return err
	}
	for _, wait := range []struct {
		name  string
		ready func(context.Context) error
	}{
		{kubelet, client.nodeReady},
		{controllerManager, client.accountReady},
		{proxy, answers("http://" + private + ":10256/healthz")},
		{dns, answers("http://" + private + ":8181/ready")},
	} {
		if err := c.await(ctx, wait.name, time.Minute, wait.ready); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) start(name string) error {
	p, err := process.Start(c.command(name))
	if err != nil {
		return err
	}
	c.started[name] = p
	return c.remember(p.Record)
}

// await polls until ready returns nil, the process called name ends, or the
// time is over. Its error ends with the last lines of the process's log.
func (c *Cluster) await(ctx context.Context, name string, within time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ready(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if record, ok := c.process(name); !ok || !record.Alive() {
			return c.withLog(name, c.ending(name))
		}
		select {
		case <-ctx.Done():
			return c.withLog(name, fmt.Errorf("%w: %w", ctx.Err(), err))
		case <-poll.C:
		}
	}
}

func (c *Cluster) ending(name string) error {
	if p, ok := c.started[name]; ok {
		return fmt.Errorf("it ended: %w", p.Err())
	}
	return errors.New("it ended")
}

func (c *Cluster) withLog(name string, err error) error {
	log := c.command(name).Log
	return fmt.Errorf("waiting for %s: %w\n--- last lines of %s\n%s", name, err, log, process.Tail(log))
}

func (c *Cluster) dialRuntime(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path("containerd.sock"))
	if err != nil {
		return err
	}
	return conn.Close()
}

// kubeletClient is the API server's own name when it calls the kubelet.
const kubeletClient = "kube-apiserver-kubelet-client"

// writeCredentials issues every certificate and writes the kubeconfigs.
func (c *Cluster) writeCredentials() error {
	authority, err := pki.New(c.path("pki"))
	if err != nil {
		return err
	}
	if err := pki.ServiceAccountKey(c.path("pki", "service-account.key")); err != nil {
		return err
	}
	names := []string{"localhost"}
	for i, full := 0, strings.Split("kubernetes.default.svc.cluster.local", "."); i < len(full); i++ {
		names = append(names, strings.Join(full[:i+1], "."))
	}
	_, err = authority.Server(apiServer, names, c.NodeIP(), c.state.Ranges.APIService(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return err
	}
	if _, err := authority.Server(kubelet+"-serving", []string{NodeName}, c.NodeIP()); err != nil {
		return err
	}
	if _, err := authority.Client(kubeletClient, kubeletClient); err != nil {
		return err
	}
	server := "https://" + net.JoinHostPort(c.NodeIP().String(), strconv.Itoa(apiPort))
	for _, user := range []struct {
		file, name, user string
		groups           []string
	}{
		{c.Kubeconfig(), "admin", "lanyard-e2e-admin", []string{"system:masters"}},
		{c.path("config", kubelet+".kubeconfig"), kubelet, "system:node:" + NodeName, []string{"system:nodes"}},
		{c.path("config", controllerManager+".kubeconfig"), controllerManager, "system:kube-controller-manager", nil},
		{c.path("config", scheduler+".kubeconfig"), scheduler, "system:kube-scheduler", nil},
		{c.path("config", proxy+".kubeconfig"), proxy, "system:kube-proxy", nil},
		{c.path("config", dns+".kubeconfig"), dns, dnsUser, nil},
	} {
		pair, err := authority.Client(user.name, user.user, user.groups...)
		if err != nil {
			return err
		}
		if err := authority.WriteKubeconfig(user.file, server, pair); err != nil {
			return err
		}
	}
	return nil
}
