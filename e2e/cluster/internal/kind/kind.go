// SPDX-License-Identifier: Apache-2.0

// Package kind runs a single-node Kubernetes in a Docker container, with the
// library of sigs.k8s.io/kind.
//
// It could not be run where it was written, which has no Docker daemon: it is
// compiled and reviewed only. The host driver is the tested one.
package kind

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
)

// NodeImage is the node image this version of kind was released with.
const NodeImage = defaults.Image

// Config describes a cluster to start.
type Config struct {
	// Name is the cluster's, and kind's own name for it.
	Name string
	// Dir is for the kubeconfig and the logs.
	Dir string
	// Kubectl is the path of a kubectl.
	Kubectl string
}

// Cluster is a running cluster.
type Cluster struct {
	config   Config
	provider *cluster.Provider
	node     nodes.Node
	address  netip.Addr
}

// Start creates the cluster. The library offers no way to end it early; ctx is
// looked at before and after.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	if err := os.MkdirAll(filepath.Join(config.Dir, "logs"), 0o755); err != nil {
		return nil, fmt.Errorf("creating the cluster's directory: %w", err)
	}
	provider := cluster.NewProvider(cluster.ProviderWithDocker())
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := provider.Create(config.Name,
		cluster.CreateWithNodeImage(NodeImage),
		cluster.CreateWithKubeconfigPath(filepath.Join(config.Dir, "kubeconfig")),
		cluster.CreateWithWaitForReady(3*time.Minute),
		cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false),
	)
	if err != nil {
		return nil, fmt.Errorf("creating the kind cluster: %w", err)
	}
	c, err := open(provider, config)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w (removing it: %v)", err, Remove(config))
	}
	return c, nil
}

// Open returns the cluster called config.Name. The error wraps fs.ErrNotExist
// if there is none.
func Open(config Config) (*Cluster, error) {
	provider := cluster.NewProvider(cluster.ProviderWithDocker())
	names, err := provider.List()
	if err != nil {
		return nil, fmt.Errorf("listing kind clusters: %w", err)
	}
	if !slices.Contains(names, config.Name) {
		return nil, fmt.Errorf("opening cluster %q: %w", config.Name, fs.ErrNotExist)
	}
	return open(provider, config)
}

// Remove removes the cluster called config.Name, if there is one, and its
// directory.
func Remove(config Config) error {
	provider := cluster.NewProvider(cluster.ProviderWithDocker())
	if err := provider.Delete(config.Name, filepath.Join(config.Dir, "kubeconfig")); err != nil {
		return fmt.Errorf("deleting the kind cluster: %w", err)
	}
	return os.RemoveAll(config.Dir)
}

func open(provider *cluster.Provider, config Config) (*Cluster, error) {
	all, err := provider.ListInternalNodes(config.Name)
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	node, err := nodeutils.BootstrapControlPlaneNode(all)
	if err != nil {
		return nil, fmt.Errorf("finding the node: %w", err)
	}
	ipv4, _, err := node.IP()
	if err != nil {
		return nil, fmt.Errorf("asking for the node's address: %w", err)
	}
	address, err := netip.ParseAddr(ipv4)
	if err != nil {
		return nil, fmt.Errorf("asking for the node's address: %w", err)
	}
	return &Cluster{config: config, provider: provider, node: node, address: address}, nil
}

// Stop removes the cluster.
func (c *Cluster) Stop(context.Context) error { return Remove(c.config) }

// Kubeconfig is the path of a file with an administrator's credentials.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.config.Dir, "kubeconfig") }

// Kubectl is the path of a kubectl.
func (c *Cluster) Kubectl() string { return c.config.Kubectl }

// NodeIP is the node container's address.
func (c *Cluster) NodeIP() netip.Addr { return c.address }

// NodeName is the name of the only node.
func (c *Cluster) NodeName() string { return c.node.String() }

// LogDir collects the logs into a directory and returns it; it is incomplete if
// the node does not answer.
func (c *Cluster) LogDir() string {
	dir := filepath.Join(c.config.Dir, "logs")
	_ = c.provider.CollectLogs(c.config.Name, dir)
	return dir
}
