// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// versionInterval is how often the API server's version is read again: clusters are upgraded under running injectors.
const versionInterval = 5 * time.Minute

// The first minor versions of Kubernetes 1 that do by default what we need.
const (
	minMinor        = 35 // env files
	minMinorSidecar = 29 // native sidecars
	minMinorRestart = 36 // a container that has all others restarted
)

// serverVersion asks the API server what it is.
func serverVersion(ctx context.Context, client rest.Interface) (version.Info, error) {
	var info version.Info
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	raw, err := client.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return info, fmt.Errorf("reading the API server's version: %w", err)
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return info, fmt.Errorf("decoding the API server's version: %w", err)
	}
	return info, nil
}

// configure tells what the cluster can do.
func configure(c *mutate.Config, info version.Info) {
	c.SupportUnknown = false
	c.Unsupported = unsupported(info, "delivery by env file", minMinor)
	c.RefreshUnsupported = unsupported(info, "a native sidecar", minMinorSidecar)
	c.RestartUnsupported = unsupported(info, "a restart of all containers", minMinorRestart)
}

// unsupported says why an API server cannot do what is called what, or nothing if it can. One that emulates an older version has that version's defaults. Nodes
// may still be older: the secret registry, which learns the node, refuses to release for env files to those, and the scheduler keeps pods with a restart of
// all containers off those that do not declare it.
func unsupported(info version.Info, need string, least int) string {
	major, minor, what := info.Major, info.Minor, "is"
	if info.EmulationMajor != "" && info.EmulationMinor != "" {
		major, minor, what = info.EmulationMajor, info.EmulationMinor, "emulates"
	}
	if a, b := number(major), number(minor); a > 1 || a == 1 && b >= least {
		return ""
	}
	return fmt.Sprintf("the API server %s Kubernetes %s.%s; %s needs 1.%d", what, major, minor, need, least)
}

// number reads the digits text begins with: some vendors report minor versions such as "35+".
func number(text string) int {
	end := 0
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(text[:end])
	return n
}
