// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processes is a /proc made by hand.
type processes struct {
	t   *testing.T
	dir string
}

func (p processes) add(pid, parent, started int, name string, mounts ...string) {
	p.t.Helper()
	dir := filepath.Join(p.dir, strconv.Itoa(pid))
	stat := fmt.Sprintf("%d (%s) S %d %s %d 0\n", pid, name, parent, strings.Repeat("7 ", 17), started)
	for _, err := range []error{
		os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600),
		os.WriteFile(filepath.Join(dir, "mountinfo"), []byte(strings.Join(mounts, "\n")+"\n"), 0o600),
	} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

func TestTheFirstProcessOfAContainerIsFoundByItsVolume(t *testing.T) {
	volume := t.TempDir()
	var stat syscall.Stat_t
	if err := syscall.Stat(volume, &stat); err != nil {
		t.Fatal(err)
	}
	device := fmt.Sprintf("%d:%d", stat.Dev>>8&0xfff, stat.Dev&0xff) // small numbers, as those of a test's machine are
	mount := func(device, point string) string {
		return "812 790 " + device + " / " + point + " ro,relatime - tmpfs tmpfs rw,size=1024k"
	}
	root := mount("0:1", "/")
	p := processes{t, t.TempDir()}
	if _, err := mainProcess(p.dir, volume); err == nil || !strings.Contains(err.Error(), "may not have started yet") {
		t.Errorf("without any: %v", err)
	}
	p.add(1, 0, 100, "pause", root)
	p.add(7, 0, 200, "lanyard-agent", root, mount(device, volume)) // the sidecar itself
	p.add(20, 0, 300, "other", root, mount("0:2", "/run/lanyard/files"))
	p.add(44, 0, 900, "sh", root, mount(device, "/run/lanyard/files"))      // kubectl exec
	p.add(30, 0, 400, "a) b (c", root, mount(device, "/run/lanyard/files")) // the container's command
	p.add(31, 30, 401, "worker", root, mount(device, "/run/lanyard/files")) // its child
	p.add(32, 1, 350, "daemon", root, mount(device, "/run/lanyard/files"))  // a child whose parent has gone
	if err := os.MkdirAll(filepath.Join(p.dir, "33"), 0o700); err != nil {  // one that has just ended
		t.Fatal(err)
	}
	if pid, err := mainProcess(p.dir, volume); err != nil || pid != 30 {
		t.Errorf("found %d, %v, want 30", pid, err)
	}
}

func TestTheRealProcTellsOfThisProcess(t *testing.T) {
	parent, started, ok := lineage("/proc/self/stat")
	if !ok || parent != os.Getppid() || started == 0 {
		t.Errorf("parent %d, started %d, %v", parent, started, ok)
	}
	if _, err := mainProcess("/proc", "/proc/absent"); err == nil {
		t.Error("a volume that is not there has a process")
	}
}
