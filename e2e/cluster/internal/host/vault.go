// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const vaultPort = ":8200"

// StartVault starts the Vault at binary on the node's address, in place of one
// that runs. It returns once it answers.
func (c *Cluster) StartVault(ctx context.Context, binary string) (address, rootToken string, err error) {
	if err := c.stop(ctx, vault); err != nil {
		return "", "", err
	}
	if err := os.Remove(c.vaultToken()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	c.state.Tools[vault] = filepath.Dir(binary)
	if err := c.start(vault); err != nil {
		return "", "", err
	}
	var token []byte
	// Vault writes the file when it is ready, and by rename.
	err = c.await(ctx, vault, time.Minute, func(context.Context) error {
		var err error
		token, err = os.ReadFile(c.vaultToken())
		return err
	})
	return "http://" + c.NodeIP().String() + vaultPort, string(token), err
}

// StopVault ends the Vault that runs, if there is one.
func (c *Cluster) StopVault(ctx context.Context) error { return c.stop(ctx, vault) }

func (c *Cluster) vaultArgs() []string {
	return []string{"-listen=" + c.NodeIP().String() + vaultPort, "-root-token-file=" + c.vaultToken()}
}

func (c *Cluster) vaultToken() string { return c.path("vault.token") }
