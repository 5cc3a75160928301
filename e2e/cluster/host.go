// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/host"
	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/toolchain"
)

func startHost(ctx context.Context, config Config) (backend, error) {
	tools, err := config.tools()
	if err != nil {
		return nil, err
	}
	c, err := host.Start(ctx, host.Config{
		Name: config.Name, Root: config.Dir, Detached: config.Detached, Progress: config.Progress,
		UserNamespaces: config.UserNamespaces, Tools: tools,
		Pause: func(ctx context.Context, path string) error {
			return BuildImage(ctx, filepath.Join(filepath.Dir(tools.Source), "images", "pause"), host.PauseImage, path)
		},
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func openHost(config Config) (backend, error) {
	c, err := host.Open(config.Dir, config.Name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func removeHost(ctx context.Context, config Config) error {
	return host.Remove(ctx, config.Dir, config.Name)
}

func (config Config) tools() (toolchain.Cache, error) {
	cache := toolchain.Cache{Dir: config.Cache, Progress: config.Progress}
	var err error
	if cache.Dir == "" {
		if cache.Dir, err = toolchain.DefaultDir(); err != nil {
			return toolchain.Cache{}, err
		}
	}
	cache.Source, err = toolchain.FindSource()
	return cache, err
}

// Build compiles everything a cluster with the host driver needs, and what is
// used beside it, into the cache, where it is not there yet. It needs no root.
func Build(ctx context.Context, config Config) error {
	config, err := config.complete(ctx)
	if err != nil {
		return err
	}
	tools, err := config.tools()
	if err != nil {
		return err
	}
	_, err = tools.GetAll(ctx, toolchain.All()...)
	return err
}
