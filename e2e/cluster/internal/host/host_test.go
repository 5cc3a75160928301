// SPDX-License-Identifier: Apache-2.0

package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
)

func TestMountPointsBelowADirectoryComeInTheOrderOfMounting(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:5 / /var/lib/lanyard-e2e/demo/a rw - tmpfs tmpfs rw
31 30 0:6 / /var/lib/lanyard-e2e/demo/a/with\040space rw shared:1 - tmpfs tmpfs rw
32 22 0:7 / /var/lib/lanyard-e2e/demo2 rw - tmpfs tmpfs rw
`
	want := []string{"/var/lib/lanyard-e2e/demo/a", "/var/lib/lanyard-e2e/demo/a/with space"}
	if diff := cmp.Diff(want, mountPoints(mountinfo, "/var/lib/lanyard-e2e/demo")); diff != "" {
		t.Errorf("mount points (-want +got):\n%s", diff)
	}
}

func TestParseCapability(t *testing.T) {
	const sysResource = 24
	tests := map[string]struct {
		status string
		want   bool
		fail   bool
	}{
		"all capabilities":          {status: "Name:\tx\nCapEff:\t000001ffffffffff\n", want: true},
		"all but CAP_SYS_RESOURCE":  {status: "CapEff:\t000001fffeffffff\n"},
		"no line for the effective": {status: "CapPrm:\t000001ffffffffff\n", fail: true},
		"a line that is no number":  {status: "CapEff:\tall\n", fail: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseCapability(test.status, sysResource)
			if (err != nil) != test.fail || got != test.want {
				t.Errorf("got %t, %v, want %t, failure %t", got, err, test.want, test.fail)
			}
		})
	}
}

func TestStateSurvivesItsProgram(t *testing.T) {
	root := t.TempDir()
	c := &Cluster{dir: filepath.Join(root, "one"), state: state{Name: "one", BootID: bootID(), Tools: map[string]string{"etcd": "/cache/etcd-1"}}}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{os.Getppid(), os.Getpid()} { // a restart replaces the earlier one
		record, err := process.Identify(pid)
		if err != nil {
			t.Fatal(err)
		}
		record.Name = apiServer
		if err := c.remember(record); err != nil {
			t.Fatal(err)
		}
	}
	// What is not a cluster is not listed.
	if err := os.WriteFile(filepath.Join(root, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "only-logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	all, err := list(root)
	if err != nil || len(all) != 1 {
		t.Fatalf("got %d clusters, %v, want 1", len(all), err)
	}
	if diff := cmp.Diff(c.state, all[0].state, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestInUse(t *testing.T) {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	server := self
	server.Name = apiServer
	gone := self
	gone.Started--
	tests := map[string]struct {
		state state
		want  bool
	}{
		"its owner lives":                             {state{BootID: bootID(), Owner: &self}, true},
		"its owner is gone, its API server is not":    {state{BootID: bootID(), Owner: &gone, Processes: []process.Record{server}}, false},
		"detached, and a part of it runs":             {state{BootID: bootID(), Processes: []process.Record{server}}, true},
		"detached, and all of it has ended":           {state{BootID: bootID()}, false},
		"the machine was booted since it was started": {state{BootID: "earlier", Owner: &self, Processes: []process.Record{server}}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (&Cluster{state: test.state}).inUse(); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestOccupiedNamesTheWayOut(t *testing.T) {
	tests := map[string]struct {
		state state
		want  string
	}{
		"the demo":                  {state{Name: DemoName}, "`make demo-down` removes it"},
		"one started by hand":       {state{Name: "mine"}, "-name mine down"},
		"one of a test that is run": {state{Name: "e2e", Owner: &process.Record{PID: 42}}, "belongs to process 42"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (&Cluster{state: test.state}).occupied().Error(); !strings.Contains(got, test.want) {
				t.Errorf("got %q, want it to hold %q", got, test.want)
			}
		})
	}
}

// Remove finds what was started but not recorded by the cluster's directory in
// its arguments, so every component must have it there.
func TestEveryComponentNamesTheDirectoryInItsArguments(t *testing.T) {
	c := &Cluster{dir: "/run/one", state: state{Tools: map[string]string{}}}
	for _, name := range []string{etcd, containerd, apiServer, controllerManager, scheduler, kubelet, proxy, dns, vault} {
		command := c.command(name)
		if !slices.ContainsFunc(command.Args, func(arg string) bool { return strings.Contains(arg, c.dir+"/") }) {
			t.Errorf("%s: no argument of %v names the directory", name, command.Args)
		}
	}
}
