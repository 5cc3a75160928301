// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/kind"
	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/toolchain"
)

const nodeImage = kind.NodeImage

func startKind(ctx context.Context, config Config) (backend, error) {
	kindConfig, err := config.kindWithKubectl(ctx)
	if err != nil {
		return nil, err
	}
	c, err := kind.Start(ctx, kindConfig)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func openKind(ctx context.Context, config Config) (backend, error) {
	kindConfig, err := config.kindWithKubectl(ctx)
	if err != nil {
		return nil, err
	}
	c, err := kind.Open(kindConfig)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func removeKind(config Config) error { return kind.Remove(config.kind()) }

func (config Config) kind() kind.Config {
	return kind.Config{Name: "lanyard-" + config.Name, Dir: filepath.Join(config.Dir, config.Name)}
}

// kindWithKubectl compiles a kubectl: the machine may have none, or one of
// another version.
func (config Config) kindWithKubectl(ctx context.Context) (kind.Config, error) {
	tools, err := config.tools()
	if err != nil {
		return kind.Config{}, err
	}
	dir, err := tools.Get(ctx, toolchain.Kubernetes)
	if err != nil {
		return kind.Config{}, err
	}
	k := config.kind()
	k.Kubectl = filepath.Join(dir, "kubectl")
	return k, nil
}
