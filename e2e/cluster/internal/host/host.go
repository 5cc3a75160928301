// SPDX-License-Identifier: Apache-2.0

// Package host runs a single-node Kubernetes directly on this machine: its own
// etcd, control plane, containerd, kubelet and kube-proxy, with no image to
// pull. It needs Linux and root.
//
// Everything is in one directory, and what is not (network interfaces, packet
// filter rules, kernel settings, control groups) is recorded there before it is
// made. So any program can remove a cluster that another one started, and a
// cluster whose program was killed is removed by the next one that starts.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/toolchain"
)

// DemoName is the name of the cluster that `make demo` starts and `make
// demo-down` removes.
const DemoName = "demo"

// Config describes a cluster to start.
type Config struct {
	Name string
	// Root is where clusters' directories are.
	Root string
	// Detached lets the cluster outlive this program.
	Detached bool
	// UserNamespaces has the node run containers with a runc that is compiled, with
	// which it can run pods whose users are not the node's.
	UserNamespaces bool
	Tools          toolchain.Cache
	// Pause writes an archive of the image PauseImage to the given file.
	Pause    func(ctx context.Context, path string) error
	Progress io.Writer
}

// Cluster is a running cluster. Its methods must not be called concurrently.
type Cluster struct {
	dir   string
	state state
	// started are the processes this program is the parent of.
	started map[string]*process.Process
}

// Start starts a cluster and returns once its node is ready. It fails if one
// that is still in use runs on the machine, and first removes one that is not.
// On error everything is removed but the directory with the logs.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	c := &Cluster{dir: filepath.Join(config.Root, config.Name), started: make(map[string]*process.Process)}
	unlock, err := prepareRoot(ctx, config)
	if err != nil {
		return nil, err
	}
	defer unlock()
	m, err := inspect(ctx, config)
	if err != nil {
		return nil, err
	}
	parts := toolchain.Parts()
	if config.UserNamespaces {
		parts = append(parts, toolchain.Runc)
	}
	tools, err := config.Tools.GetAll(ctx, parts...)
	if err != nil {
		return nil, err
	}
	if config.UserNamespaces {
		m.runc = filepath.Join(tools[toolchain.Runc.Name], "runc")
	}
	if err := c.claim(ctx, config, tools); err != nil {
		return nil, err
	}
	if err := c.bringUp(ctx, config, m); err != nil {
		// The caller's context may be what ended.
		undo := context.WithoutCancel(ctx)
		return nil, errors.Join(err, c.tearDown(undo))
	}
	return c, nil
}

// prepareRoot takes the machine's lock and removes what earlier runs left.
func prepareRoot(ctx context.Context, config Config) (unlock func(), err error) {
	if os.Geteuid() != 0 {
		_, err := inspect(ctx, config)
		return nil, err
	}
	unlock, err = lock(config.Root)
	if err != nil {
		return nil, err
	}
	others, err := list(config.Root)
	for _, other := range others {
		if other.inUse() {
			err = other.occupied()
			break
		}
		fmt.Fprintf(config.Progress, "removing what an earlier run left: %s\n", other.dir)
		if err = other.destroy(ctx); err != nil {
			break
		}
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// occupied says that the machine's only place is taken, and how to free it.
func (c *Cluster) occupied() error {
	hint := fmt.Sprintf("`go run ./cmd/cluster -name %s down` in e2e removes it", c.state.Name)
	switch {
	case c.state.Owner != nil:
		hint = fmt.Sprintf("it belongs to process %d: wait for that to end", c.state.Owner.PID)
	case c.state.Name == DemoName:
		hint = "`make demo-down` removes it"
	}
	return fmt.Errorf("a cluster named %q already runs on this machine, and there can be only one; hint: %s", c.state.Name, hint)
}

// Exists reports whether the cluster called name has left a state.
func Exists(root, name string) bool { return exists(filepath.Join(root, name, stateFile)) }

// Open returns the cluster called name, which this or another program started.
// The error wraps fs.ErrNotExist if there is none.
func Open(root, name string) (*Cluster, error) {
	c, err := read(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	if !c.inUse() {
		return nil, fmt.Errorf("opening cluster %q: it no longer runs: %w", name, fs.ErrNotExist)
	}
	c.started = make(map[string]*process.Process)
	return c, nil
}

// Remove removes the cluster called name in whatever condition it is, and its
// directory. It returns nil if there is none.
func Remove(ctx context.Context, root, name string) error {
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lock(root)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(dir) // only the logs of a start that failed
	}
	if err != nil {
		return err
	}
	return c.destroy(ctx)
}

// Stop removes the cluster and its directory.
func (c *Cluster) Stop(ctx context.Context) error {
	return Remove(ctx, filepath.Dir(c.dir), filepath.Base(c.dir))
}

// Kubeconfig is the path of a file with a cluster administrator's credentials.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// NodeIP is the machine's address in the cluster. Pods reach it.
func (c *Cluster) NodeIP() netip.Addr { return c.state.Ranges.Node }

// NodeName is the name of the only node.
func (c *Cluster) NodeName() string { return NodeName }

// LogDir holds one log for each process, NAME.log.
func (c *Cluster) LogDir() string { return c.path("logs") }

// Kubectl is the path of a kubectl of the cluster's version.
func (c *Cluster) Kubectl() string { return c.tool("kubernetes", "kubectl") }
