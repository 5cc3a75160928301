// SPDX-License-Identifier: Apache-2.0

package toolchain

import (
	"errors"
	"os"
	"path/filepath"
)

// FindSource returns the directory e2e/cluster of the checkout that the working
// directory is in. The sources cannot be embedded: they are modules of their
// own, and `go:embed` stops at a module's edge.
func FindSource() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		source := filepath.Join(dir, "e2e", "cluster")
		if _, err := os.Stat(filepath.Join(source, "kubernetes", "go.mod")); err == nil {
			return source, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding the sources of the cluster: the working directory is outside a checkout of lanyard")
		}
		dir = parent
	}
}
