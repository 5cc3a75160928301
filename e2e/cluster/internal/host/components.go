// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
)

// Names of the processes, which are also those of their logs and, for the ones
// of Kubernetes, what selects them in the one binary.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kubelet           = "kubelet"
	proxy             = "kube-proxy"
	containerd        = "containerd"
	vault             = "vault"
	dns               = "coredns"
)

// NodeName is the node's name in the cluster.
const NodeName = "node-1"

// private is a loopback address of our own: what listens there is neither in
// the way of the machine's other programs nor within reach of pods.
const private = "127.88.0.1"

// apiPort is the API server's, on the node's address.
const apiPort = 6443

// command returns how to start the component called name. It depends only on
// the state, so that another program can restart it.
func (c *Cluster) command(name string) process.Command {
	command := process.Command{Name: name, Dir: c.dir, Log: filepath.Join(c.LogDir(), name+".log")}
	switch name {
	case etcd:
		command.Path, command.Args = c.tool("etcd", name), c.etcdArgs()
	case containerd:
		command.Path, command.Args = c.tool("containerd", name), []string{"--config", c.path("config", "containerd.toml")}
	case apiServer:
		command.Args = c.apiServerArgs()
	case controllerManager:
		command.Args = c.controllerManagerArgs()
	case scheduler:
		command.Args = []string{
			"--kubeconfig=" + c.path("config", scheduler+".kubeconfig"),
			"--bind-address=" + private, "--leader-elect=false",
		}
	case kubelet:
		command.Args = []string{
			"--config=" + c.path("config", "kubelet.json"),
			"--kubeconfig=" + c.path("config", kubelet+".kubeconfig"),
			"--root-dir=" + c.path("kubelet"),
			"--hostname-override=" + NodeName,
			"--node-ip=" + c.NodeIP().String(),
		}
	case dns:
		command.Path, command.Args = c.tool("coredns", name), []string{"-conf", c.path("config", "Corefile")}
	case vault:
		command.Path, command.Args = c.tool(vault, name), c.vaultArgs()
	case proxy:
		command.Args = []string{"--config=" + c.path("config", "kube-proxy.json")}
	}
	if command.Path == "" {
		command.Path = c.tool("kubernetes", "kubernetes")
	}
	return command
}

func (c *Cluster) etcdArgs() []string {
	const client, peer = "http://" + private + ":2379", "http://" + private + ":2380"
	return []string{
		"--name=" + NodeName, "--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + NodeName + "=" + peer,
		"--log-level=warn",
		"--unsafe-no-fsync", // nothing here outlives a power cut
	}
}

func (c *Cluster) apiServerArgs() []string {
	key := c.path("pki", "service-account.key")
	return []string{
		"--etcd-servers=http://" + private + ":2379",
		"--bind-address=" + c.NodeIP().String(), fmt.Sprintf("--secure-port=%d", apiPort),
		"--advertise-address=" + c.NodeIP().String(),
		"--tls-cert-file=" + c.path("pki", apiServer+".crt"), "--tls-private-key-file=" + c.path("pki", apiServer+".key"),
		"--client-ca-file=" + c.path("pki", "ca.crt"),
		"--kubelet-certificate-authority=" + c.path("pki", "ca.crt"),
		"--kubelet-client-certificate=" + c.path("pki", kubeletClient+".crt"), "--kubelet-client-key=" + c.path("pki", kubeletClient+".key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--service-cluster-ip-range=" + c.state.Ranges.Services.String(),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true", "--profiling=false",
	}
}

func (c *Cluster) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + c.path("config", controllerManager+".kubeconfig"),
		"--bind-address=" + private, "--leader-elect=false",
		"--service-account-private-key-file=" + c.path("pki", "service-account.key"),
		"--root-ca-file=" + c.path("pki", "ca.crt"),
		"--cluster-signing-cert-file=" + c.path("pki", "ca.crt"), "--cluster-signing-key-file=" + c.path("pki", "ca.key"),
		"--use-service-account-credentials=true",
		"--flex-volume-plugin-dir=" + c.path("flexvolume"),
	}
}

func (c *Cluster) tool(part, name string) string { return filepath.Join(c.state.Tools[part], name) }

func (c *Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}
