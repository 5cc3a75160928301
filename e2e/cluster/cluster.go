// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os/exec"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/host"
)

// DemoName is the name of the cluster that `make demo` starts and `make
// demo-down` removes.
const DemoName = host.DemoName

// DefaultDir is where clusters live that Config.Dir does not place.
const DefaultDir = "/var/lib/lanyard-e2e"

// Config describes a cluster. The zero value is one for a test.
type Config struct {
	// Name distinguishes clusters; if empty, "e2e". With the host driver only one
	// can run on a machine, whatever its name.
	Name string
	// Driver forces a driver; if empty, Detect's.
	Driver Driver
	// Detached lets the cluster outlive the program that starts it, until Remove.
	// Otherwise the next Start removes it once that program has ended.
	Detached bool
	// UserNamespaces has the node run pods in user namespaces, which takes a runc that
	// is compiled with a C compiler. It does nothing with the kind driver, whose node image decides.
	UserNamespaces bool
	// Dir is the directory in which the cluster gets one of its name; if empty,
	// DefaultDir. Keep it short: it holds sockets, whose paths end at 107 bytes.
	Dir string
	// Cache is the directory of compiled binaries; if empty, see LANYARD_CACHE.
	Cache string
	// Progress receives a line for each step that takes long. If nil, none is written.
	Progress io.Writer
}

// Cluster is a running cluster. Its methods may be called by one goroutine at
// a time, except those that only return a value.
type Cluster struct {
	driver  Driver
	backend backend
	config  Config
}

// backend is what a driver must provide. Paths stay valid until Stop.
type backend interface {
	Kubeconfig() string
	Kubectl() string
	LogDir() string
	NodeIP() netip.Addr
	NodeName() string
	Load(ctx context.Context, archives ...string) error
	TrustRegistry(host string, authority []byte) error
	// RestartKubelet must return only when the new kubelet has reported the node ready.
	RestartKubelet(ctx context.Context, gates map[string]bool) error
	// RestartNode must return only when the new kubelet has reported the node ready.
	RestartNode(ctx context.Context) error
	StopAPIServer(ctx context.Context) error
	StartAPIServer(ctx context.Context) error
	// StartVault runs the given binary where pods reach it.
	StartVault(ctx context.Context, binary string) (address, rootToken string, err error)
	StopVault(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Start starts a cluster and returns once its node is ready and pods can be
// created. It blocks for seconds, or for minutes where binaries must be compiled
// first. If it fails or ctx ends, nothing but logs is left; the error quotes the
// end of the log that explains it.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	config, err := config.complete(ctx)
	if err != nil {
		return nil, err
	}
	var b backend
	switch config.Driver {
	case Host:
		b, err = startHost(ctx, config)
	case Kind:
		b, err = startKind(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("starting cluster %q: %w", config.Name, err)
	}
	return &Cluster{driver: config.Driver, backend: b, config: config}, nil
}

// Open returns the cluster of config.Name, started by this or another program.
// The error wraps fs.ErrNotExist if none runs.
func Open(ctx context.Context, config Config) (*Cluster, error) {
	config, err := config.complete(ctx)
	if err != nil {
		return nil, err
	}
	var b backend
	switch config.Driver {
	case Host:
		b, err = openHost(config)
	case Kind:
		b, err = openKind(ctx, config)
	}
	if err != nil {
		return nil, err
	}
	return &Cluster{driver: config.Driver, backend: b, config: config}, nil
}

// Remove removes the cluster of config.Name, in whatever condition it is and
// whoever started it. It returns nil if there is none.
func Remove(ctx context.Context, config Config) error {
	config, err := config.complete(ctx)
	if err != nil {
		return err
	}
	if config.Driver == Kind {
		return removeKind(config)
	}
	return removeHost(ctx, config)
}

// Stop removes the cluster with everything it made on the machine.
func (c *Cluster) Stop(ctx context.Context) error { return c.backend.Stop(ctx) }

// Driver is what runs the cluster.
func (c *Cluster) Driver() Driver { return c.driver }

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.config.Name }

// Kubeconfig is the path of a file with a cluster administrator's credentials.
func (c *Cluster) Kubeconfig() string { return c.backend.Kubeconfig() }

// RESTConfig returns a cluster administrator's client configuration, which the
// caller may change.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return config, nil
}

// Kubectl returns a kubectl command, not yet started, that talks to the cluster.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, c.backend.Kubectl(), append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
}

// KubectlPath is the path of the kubectl that Kubectl runs.
func (c *Cluster) KubectlPath() string { return c.backend.Kubectl() }

// LogDir is a directory with the components' logs. With kind it is filled by
// the call.
func (c *Cluster) LogDir() string { return c.backend.LogDir() }

// NodeIP is the node's address. Pods and the machine itself reach it.
func (c *Cluster) NodeIP() netip.Addr { return c.backend.NodeIP() }

// NodeName is the name of the only node.
func (c *Cluster) NodeName() string { return c.backend.NodeName() }

// Load imports images into the node from archives that `docker save`, or our own
// tools/images, wrote.
func (c *Cluster) Load(ctx context.Context, archives ...string) error {
	return c.backend.Load(ctx, archives...)
}

// TrustRegistry lets the node pull images from the registry at host, an address
// with its port, whose certificate is checked against a PEM authority.
func (c *Cluster) TrustRegistry(host string, authority []byte) error {
	if err := c.backend.TrustRegistry(host, authority); err != nil {
		return fmt.Errorf("trusting the registry %s: %w", host, err)
	}
	return nil
}

// RestartKubelet restarts the kubelet with the given feature gates and the
// defaults for all others; nil restores all defaults. Running pods go on. It
// returns when the node is ready again. Gate EnvFiles off makes the node behave
// like one too old for fileKeyRef: it ignores the field.
func (c *Cluster) RestartKubelet(ctx context.Context, gates map[string]bool) error {
	if err := c.backend.RestartKubelet(ctx, gates); err != nil {
		return fmt.Errorf("restarting the kubelet: %w", err)
	}
	return nil
}

// RestartNode does to the node what a power cut and a boot do: containers die at
// once and memory-backed volumes are gone. It returns when the node is ready
// again; pods start anew after that. With kind the control plane restarts too.
func (c *Cluster) RestartNode(ctx context.Context) error {
	if err := c.backend.RestartNode(ctx); err != nil {
		return fmt.Errorf("restarting the node: %w", err)
	}
	return nil
}

// StopAPIServer ends the API server, as a crash would, and returns when it is
// gone. Pods go on running, the rest of the control plane waits.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	if err := c.backend.StopAPIServer(ctx); err != nil {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	return nil
}

// StartAPIServer starts the API server again, with the same address and
// credentials, and returns once it is ready. It does nothing if one runs.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.backend.StartAPIServer(ctx); err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	return nil
}

func (config Config) complete(ctx context.Context) (Config, error) {
	if config.Name == "" {
		config.Name = "e2e"
	}
	if config.Dir == "" {
		config.Dir = DefaultDir
	}
	if config.Progress == nil {
		config.Progress = io.Discard
	}
	if config.Driver == "" && host.Exists(config.Dir, config.Name) {
		// Whatever has come to the machine since it was started.
		config.Driver = Host
	}
	if config.Driver == "" {
		driver, err := Detect(ctx)
		if err != nil {
			return Config{}, err
		}
		config.Driver = driver
	}
	if config.Driver != Host && config.Driver != Kind {
		return Config{}, fmt.Errorf("driver %q: want %s or %s", config.Driver, Host, Kind)
	}
	return config, nil
}
