// SPDX-License-Identifier: Apache-2.0

package nodes

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/internal/kubelet"
)

// A Summary tells what the nodes can do. A cluster without a single one that counts has none that could not.
type Summary struct {
	Nodes        int // that count: Linux, and not cordoned
	EnvFiles     Lack
	ImageVolumes Lack
	// Architectures are those of the nodes, as Kubernetes names them, sorted. A node that does not say counts for none.
	Architectures []string
}

// A Lack is what some nodes cannot do.
type Lack struct {
	Nodes int    // how many cannot
	Why   string // one of them, and why; empty if there is none
}

// facts are why a node cannot do something, empty where it can, and its architecture, empty if it does not say.
type facts struct{ noEnvFiles, noImageVolumes, arch string }

// read returns what the node can do, and whether a pod may come to it.
func read(node *corev1.Node) (facts, bool) {
	info := node.Status.NodeInfo
	system := node.Labels[corev1.LabelOSStable]
	if system == "" {
		system = info.OperatingSystem
	}
	if node.Spec.Unschedulable || system != "linux" && system != "" {
		return facts{}, false
	}
	versions := kubelet.Info{Kubelet: info.KubeletVersion, Runtime: info.ContainerRuntimeVersion}
	return facts{versions.NoEnvFiles(), versions.NoImageVolumes(), cmp.Or(node.Labels[corev1.LabelArchStable], info.Architecture)}, true
}

func summarize(known map[string]facts) Summary {
	s := Summary{Nodes: len(known)}
	var envFiles, imageVolumes string // the nodes told of: the first by name, so that the same nodes make the same text
	for name, able := range known {
		s.EnvFiles.add(&envFiles, name, able.noEnvFiles)
		s.ImageVolumes.add(&imageVolumes, name, able.noImageVolumes)
		if able.arch != "" && !slices.Contains(s.Architectures, able.arch) {
			s.Architectures = append(s.Architectures, able.arch)
		}
	}
	slices.Sort(s.Architectures)
	return s
}

func (l *Lack) add(told *string, node, why string) {
	if why == "" {
		return
	}
	if l.Nodes++; *told == "" || node < *told {
		*told = node
		l.Why = fmt.Sprintf("node %.253s cannot: %s", node, why)
	}
}

// Collectors returns the follower's metrics.
func (f *Follower) Collectors() []prometheus.Collector {
	gauge := func(name, help string, labels prometheus.Labels, value func(Summary) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lanyard_injector_nodes" + name, Help: help, ConstLabels: labels}, func() float64 {
			s, _ := f.Summary()
			return float64(value(s))
		})
	}
	const incapable = "Schedulable Linux nodes that cannot do what a delivery needs."
	return []prometheus.Collector{
		gauge("", "Schedulable Linux nodes.", nil, func(s Summary) int { return s.Nodes }),
		gauge("_incapable", incapable, prometheus.Labels{"capability": "env_files"}, func(s Summary) int { return s.EnvFiles.Nodes }),
		gauge("_incapable", incapable, prometheus.Labels{"capability": "image_volumes"}, func(s Summary) int { return s.ImageVolumes.Nodes }),
		gauge("_connected", "1 while changes of nodes are followed.", nil, func(Summary) int {
			if f.connected.Load() {
				return 1
			}
			return 0
		}),
	}
}
