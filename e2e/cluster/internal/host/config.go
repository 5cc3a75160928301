// SPDX-License-Identifier: Apache-2.0

package host

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

// PauseImage is the image of every pod's first process.
const PauseImage = "registry.local/pause:1"

type object = map[string]any

// writeNodeConfig writes what containerd, the CNI plugins and kube-proxy read.
func (c *Cluster) writeNodeConfig(m machine) error {
	var runtime strings.Builder
	if err := containerdConfig.Execute(&runtime, object{
		"Dir": c.dir, "Shim": c.tool("containerd", "containerd-shim-runc-v2"), "Runc": m.runc, "Plugins": m.plugins,
		"Pause": PauseImage, "Snapshotter": snapshotter(m), "RestrictOOM": !m.mayRaiseOOM,
	}); err != nil {
		return fmt.Errorf("rendering containerd's configuration: %w", err)
	}
	if err := os.WriteFile(c.path("config", "containerd.toml"), []byte(runtime.String()), 0o600); err != nil {
		return fmt.Errorf("writing containerd's configuration: %w", err)
	}
	// An empty one: pods resolve cluster names or nothing.
	if err := os.WriteFile(c.path("config", "resolv.conf"), nil, 0o644); err != nil {
		return fmt.Errorf("writing resolv.conf: %w", err)
	}
	if err := writeJSON(c.path("cni", "10-lanyard.conflist"), c.networkConfig()); err != nil {
		return err
	}
	if err := c.writeCorefile(); err != nil {
		return err
	}
	return writeJSON(c.path("config", "kube-proxy.json"), c.proxyConfig())
}

func snapshotter(m machine) string {
	if m.stacked {
		return "native"
	}
	return "overlayfs"
}

var containerdConfig = template.Must(template.New("containerd").Parse(`version = 3
root = "{{.Dir}}/containerd/root"
state = "{{.Dir}}/containerd/state"
# What writes to fixed places, or wants file systems and devices we do not use.
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{{.Dir}}/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "{{.Snapshotter}}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "{{.Dir}}/registries"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{{.Pause}}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {{.RestrictOOM}}
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{{.Plugins}}"]
    conf_dir = "{{.Dir}}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = "{{.Shim}}"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "{{.Runc}}"
      Root = "{{.Dir}}/runc"
      SystemdCgroup = false
`))

// networkConfig gives every pod a link of its own to the node. On a bridge, the
// answer to a packet that kube-proxy readdressed could go straight to a
// neighbour that never asked it, unless the kernel filters bridges too.
func (c *Cluster) networkConfig() object {
	return object{
		"cniVersion": "1.0.0",
		"name":       "lanyard",
		"plugins": []object{{
			"type":   "ptp",
			"ipMasq": false,
			"ipam": object{
				"type":    "host-local",
				"dataDir": c.path("ipam"),
				"ranges":  [][]object{{{"subnet": c.state.Ranges.Pods.String()}}},
				"routes":  []object{{"dst": "0.0.0.0/0"}},
			},
		}},
	}
}

func (c *Cluster) proxyConfig() object {
	return object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"clientConnection":   object{"kubeconfig": c.path("config", proxy+".kubeconfig")},
		"mode":               "iptables",
		"clusterCIDR":        c.state.Ranges.Pods.String(),
		"hostnameOverride":   NodeName,
		"healthzBindAddress": private + ":10256",
		"metricsBindAddress": private + ":10249",
		"iptables":           object{"localhostNodePorts": false, "minSyncPeriod": "100ms"},
		// Zero leaves the machine's own limits alone.
		"conntrack": object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	}
}

// writeKubeletConfig writes the kubelet's configuration from the state.
func (c *Cluster) writeKubeletConfig() error {
	gates := object{}
	for name, value := range c.state.Gates {
		gates[name] = value
	}
	if inUserNamespace() {
		gates["KubeletInUserNamespace"] = true
	}
	return writeJSON(c.path("config", "kubelet.json"), object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  c.NodeIP().String(),
		"healthzBindAddress":       private,
		"tlsCertFile":              c.path("pki", kubelet+"-serving.crt"),
		"tlsPrivateKeyFile":        c.path("pki", kubelet+"-serving.key"),
		"authentication":           object{"anonymous": object{"enabled": false}, "webhook": object{"enabled": true}, "x509": object{"clientCAFile": c.path("pki", "ca.crt")}},
		"authorization":            object{"mode": "Webhook"},
		"containerRuntimeEndpoint": "unix://" + c.path("containerd.sock"),
		"podLogsDir":               c.path("pod-logs"),
		"volumePluginDir":          c.path("flexvolume"),
		"resolvConf":               c.path("config", "resolv.conf"),
		"clusterDNS":               []string{c.state.Ranges.DNSService().String()},
		"clusterDomain":            "cluster.local",
		"maxPods":                  500,
		"failSwapOn":               false,
		"oomScoreAdj":              0,
		// The machine may have control groups of version 1, 2 or both, and may
		// itself be inside one; a flat group per container works in all of these.
		"failCgroupV1":                  false,
		"cgroupDriver":                  "cgroupfs",
		"cgroupsPerQOS":                 false,
		"enforceNodeAllocatable":        []string{},
		"localStorageCapacityIsolation": false,
		// Imported images cannot be pulled again: never collect them.
		"imageGCHighThresholdPercent": 100,
		"evictionHard":                object{"memory.available": "100Mi"},
		"featureGates":                gates,
	})
}

func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding configuration: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing configuration: %w", err)
	}
	return nil
}
