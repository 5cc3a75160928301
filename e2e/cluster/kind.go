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
	tools, err := config.tools()
	if err != nil {
		return nil, err
	}
	// For its kubectl: the machine may have none, or one of another version.
	dir, err := tools.Get(ctx, toolchain.Kubernetes)
	if err != nil {
		return nil, err
	}
	kindConfig := config.kind()
	kindConfig.Kubectl = filepath.Join(dir, "kubectl")
	c, err := kind.Start(ctx, kindConfig)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func openKind(ctx context.Context, config Config) (backend, error) {
	tools, err := config.tools()
	if err != nil {
		return nil, err
	}
	dir, err := tools.Get(ctx, toolchain.Kubernetes)
	if err != nil {
		return nil, err
	}
	kindConfig := config.kind()
	kindConfig.Kubectl = filepath.Join(dir, "kubectl")
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
