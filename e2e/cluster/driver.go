// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Driver names a way to run a cluster.
type Driver string

// The drivers.
const (
	Host Driver = "host"
	Kind Driver = "kind"
)

// driverVariable is the environment variable that overrides Detect.
const driverVariable = "LANYARD_E2E_DRIVER"

// Detect returns the driver to use on this machine: the one LANYARD_E2E_DRIVER
// names, else Kind if a Docker daemon answers and has kind's node image already,
// else Host. It pulls nothing and does not check what Host needs: Start does.
func Detect(ctx context.Context) (Driver, error) {
	switch forced := Driver(os.Getenv(driverVariable)); forced {
	case Host, Kind:
		return forced, nil
	case "":
	default:
		return "", fmt.Errorf("%s is %q: want %s or %s", driverVariable, forced, Host, Kind)
	}
	// A daemon that does not answer at once would make a poor cluster.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if exec.CommandContext(ctx, "docker", "image", "inspect", nodeImage).Run() == nil {
		return Kind, nil
	}
	return Host, nil
}
