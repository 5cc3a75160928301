// SPDX-License-Identifier: Apache-2.0

// Package kubelet tells what a node can do for a delivery, by the versions it reports. The injector asks of all nodes before it chooses, the registry of the
// one node a pod is on before it releases; both must answer alike.
//
// Versions are all there is to go by: a feature gate turned off on one node shows in none of them.
package kubelet

import (
	"fmt"
	"strconv"
	"strings"
)

// Info is what a node reports of itself in status.nodeInfo.
type Info struct {
	Kubelet string // kubeletVersion, such as v1.37.2 or v1.35.0-eks-1a2b3c
	Runtime string // containerRuntimeVersion, such as containerd://2.1.4
}

// A minor is a version without its patch level.
type minor struct{ major, minor int }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.major, m.minor) }

func (m minor) before(o minor) bool {
	return m.major < o.major || m.major == o.major && m.minor < o.minor
}

var (
	envFiles     = minor{1, 35} // the first kubelet with the gate EnvFiles on by default
	imageVolumes = minor{1, 36} // the first with the gate ImageVolume for good
	// runtimes are those that mount images, from the first version on that does and lets programs in them run.
	runtimes = map[string]minor{"containerd": {2, 1}, "cri-o": {1, 34}}
)

// NoEnvFiles says why the node cannot set ENVs from env files (fileKeyRef), or nothing if it can. An older kubelet ignores the reference and starts the
// container with an empty ENV.
func (i Info) NoEnvFiles() string { return i.olderThan(envFiles) }

// NoImageVolumes says why the node cannot mount an image as a volume and run programs from it, or nothing if it can.
func (i Info) NoImageVolumes() string {
	if why := i.olderThan(imageVolumes); why != "" {
		return why
	}
	name, version, _ := strings.Cut(i.Runtime, "://")
	least, known := runtimes[name]
	switch v, ok := parse(version); {
	case !known || !ok:
		return fmt.Sprintf("its container runtime %.60q is not known to mount images", i.Runtime)
	case v.before(least):
		return fmt.Sprintf("its container runtime %s %.40q is older than %s", name, version, least)
	}
	return ""
}

func (i Info) olderThan(least minor) string {
	version, prefixed := strings.CutPrefix(i.Kubelet, "v")
	switch v, ok := parse(version); {
	case !prefixed || !ok:
		return fmt.Sprintf("its kubelet reports the version %.60q, which is none", i.Kubelet)
	case v.before(least):
		return fmt.Sprintf("its kubelet %.40q is older than %s", i.Kubelet, least)
	}
	return ""
}

// parse reads the first two of at least three numbers, such as those of 1.35.0-eks-1a2b3c and 1.36.1+k3s1.
func parse(version string) (minor, bool) {
	first, rest, _ := strings.Cut(version, ".")
	second, _, more := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(second)
	return minor{a, b}, more && errA == nil && errB == nil && a >= 0 && b >= 0
}
