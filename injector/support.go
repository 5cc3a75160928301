// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"cmp"
	"fmt"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/version"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/injector/nodes"
)

// The first minor versions of Kubernetes 1 whose API servers take, by default, what the deliveries are made of.
const (
	minorSidecars     = 29 // native ones
	minorEnvFiles     = 35
	minorImageVolumes = 36
	minorRestarts     = 36 // a container that has all others restarted
)

// support is what was learnt of the cluster so far. Its methods are safe for concurrent use.
type support struct {
	mu     sync.Mutex
	server *version.Info  // nil until it is known
	gates  gates          // of that server; nothing is off until it is known
	nodes  *nodes.Summary // nil until it is known
}

func (s *support) setServer(info version.Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = &info
}

func (s *support) setGates(g gates) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates = g
}

// setNodes reports whether the new summary tells of something else than the one before.
func (s *support) setNodes(summary nodes.Summary) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news = s.nodes == nil || s.nodes.EnvFiles.Why != summary.EnvFiles.Why || s.nodes.ImageVolumes.Why != summary.ImageVolumes.Why
	s.nodes = &summary
	return news
}

// apply puts it into the configuration of plans. What is not known counts as what cannot be done.
func (s *support) apply(c *mutate.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.SupportUnknown, c.Unsupported = s.server == nil, ""
	c.NodesUnknown, c.NodesWithoutEnvfile, c.Architectures = s.nodes == nil, "", nil
	c.ImageVolumes, c.NoImageVolumes = false, ""
	c.RefreshUnsupported, c.RestartUnsupported = "", ""
	if s.server != nil {
		c.Unsupported = cmp.Or(older(*s.server, minorEnvFiles, "delivery by env file"), s.gates.envFiles)
		c.NoImageVolumes = cmp.Or(older(*s.server, minorImageVolumes, "mounting images as volumes"), s.gates.imageVolumes)
		c.RefreshUnsupported = older(*s.server, minorSidecars, "a native sidecar")
		c.RestartUnsupported = cmp.Or(older(*s.server, minorRestarts, "a restart of all containers"), s.gates.restarts)
	}
	if s.nodes != nil {
		c.NodesWithoutEnvfile, c.Architectures = s.nodes.EnvFiles.Why, s.nodes.Architectures
		switch {
		case c.NoImageVolumes != "":
		case s.nodes.Nodes == 0:
			c.NoImageVolumes = "the cluster has no schedulable Linux node that is known to mount images as volumes"
		default:
			c.NoImageVolumes = s.nodes.ImageVolumes.Why
		}
	}
	c.ImageVolumes = s.server != nil && s.nodes != nil && c.NoImageVolumes == ""
}

// older says that the API server is older than Kubernetes 1.minor, which what needs; or nothing if it is not. One that emulates an older version has that
// version's defaults. The scheduler keeps pods with a restart of all containers off nodes that do not declare it.
func older(info version.Info, minor int, what string) string {
	major, own, is := info.Major, info.Minor, "is"
	if info.EmulationMajor != "" && info.EmulationMinor != "" {
		major, own, is = info.EmulationMajor, info.EmulationMinor, "emulates"
	}
	if a, b := number(major), number(own); a > 1 || a == 1 && b >= minor {
		return ""
	}
	return fmt.Sprintf("the API server %s Kubernetes %s.%s; %s needs 1.%d", is, major, own, what, minor)
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
