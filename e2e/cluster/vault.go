// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/toolchain"
)

// Vault is a Vault server that runs beside a cluster, in memory: KV version 2
// is mounted at kv/, and the approle and kubernetes methods can be enabled.
type Vault struct {
	// Address is a URL that pods, the API server and this machine reach.
	Address string
	// RootToken may do anything there.
	RootToken string
}

// StartVault starts a Vault and returns once it answers. It ends with the
// cluster. A second call replaces the first Vault and its contents.
func (c *Cluster) StartVault(ctx context.Context) (*Vault, error) {
	tools, err := c.config.tools()
	if err != nil {
		return nil, err
	}
	dir, err := tools.Get(ctx, toolchain.Vault)
	if err != nil {
		return nil, err
	}
	address, token, err := c.backend.StartVault(ctx, filepath.Join(dir, toolchain.Vault.Name))
	if err != nil {
		return nil, fmt.Errorf("starting Vault: %w", err)
	}
	return &Vault{Address: address, RootToken: token}, nil
}

// VaultBinary returns the path of the Vault server for tests that need one
// without a cluster. It is built if it is not in the cache yet.
func VaultBinary(ctx context.Context, config Config) (string, error) {
	tools, err := config.tools()
	if err != nil {
		return "", err
	}
	dir, err := tools.Get(ctx, toolchain.Vault)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, toolchain.Vault.Name), nil
}
