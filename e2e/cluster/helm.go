// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/toolchain"
)

// Helm returns the path of a helm binary, which is compiled first where it is not
// in the cache yet.
func (c *Cluster) Helm(ctx context.Context) (string, error) {
	tools, err := c.config.tools()
	if err != nil {
		return "", err
	}
	dir, err := tools.Get(ctx, toolchain.Helm)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, toolchain.Helm.Name), nil
}
