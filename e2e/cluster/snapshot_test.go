// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machineSnapshot is everything on the machine that a cluster could leave
// behind: kind of thing → one line for each.
type machineSnapshot map[string][]string

func snapshot(t *testing.T) machineSnapshot {
	t.Helper()
	s := machineSnapshot{
		"mounts":         mountPoints(t),
		"interfaces":     command("ip", "-brief", "link"),
		"routes":         command("ip", "-4", "route", "show", "table", "all"),
		"processes":      processes(t),
		"control groups": glob(t, "/sys/fs/cgroup/lanyard*", "/sys/fs/cgroup/*/lanyard*", "/sys/fs/cgroup/k8s*", "/sys/fs/cgroup/*/k8s*"),
		"namespaces":     glob(t, "/run/netns/*"),
		"directories": glob(t, "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers",
			"/usr/libexec/kubernetes", "/opt/containerd", "/etc/cni", "/var/lib/containerd", "/run/runc/*", "/var/lib/lanyard-e2e/smoke", "/run/xtables.lock-*"),
		"settings": settings(t, "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "vm/overcommit_memory", "vm/panic_on_oom",
			"kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/netfilter/nf_conntrack_max"),
	}
	for _, family := range []string{"iptables-save", "ip6tables-save"} {
		// Only rules and chains somebody made; the kernel's own tables appear on first use.
		s[family] = slices.DeleteFunc(command(family), func(line string) bool {
			return !strings.HasPrefix(line, "-A") && !(strings.HasPrefix(line, ":") && strings.Contains(line, " - "))
		})
	}
	return s
}

func (s machineSnapshot) compare(t *testing.T, after machineSnapshot) {
	t.Helper()
	if diff := cmp.Diff(s, after); diff != "" {
		t.Errorf("the machine changed (-before +after):\n%s", diff)
	}
}

// command returns the output's lines, or none if it is not installed yet.
func command(name string, args ...string) []string {
	out, err := exec.Command(name, args...).Output()
	if err != nil || len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func mountPoints(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(content)) {
		points = append(points, strings.Fields(line)[4])
	}
	return points
}

// processes returns the programs that a cluster consists of. Others come and go
// on a machine.
func processes(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		program, _, _ := strings.Cut(string(line), "\x00")
		if strings.Contains(string(line), "/lanyard-e2e/") || slices.Contains([]string{"/pause", "/probe"}, program) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	slices.Sort(found)
	return found
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

func settings(t *testing.T, names ...string) []string {
	t.Helper()
	var values []string
	for _, name := range names {
		if content, err := os.ReadFile("/proc/sys/" + name); err == nil {
			values = append(values, name+"="+strings.TrimSpace(string(content)))
		}
	}
	return values
}
