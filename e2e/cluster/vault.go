// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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

// StopVault ends the Vault, whose contents are lost: connections to its address
// are refused until StartVault, which listens there again. It does nothing if
// none runs.
func (c *Cluster) StopVault(ctx context.Context) error {
	if err := c.backend.StopVault(ctx); err != nil {
		return fmt.Errorf("stopping Vault: %w", err)
	}
	return nil
}

// Write sends data to a path of the Vault's API, as root: "kv/data/app" with
// {"data": {"key": "value"}} writes a secret.
func (v *Vault) Write(ctx context.Context, path string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encoding what to write to %s: %w", path, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.Address+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("X-Vault-Token", v.RootToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return fmt.Errorf("writing %s: status %d: %s", path, response.StatusCode, bytes.TrimSpace(answer))
	}
	return nil
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
