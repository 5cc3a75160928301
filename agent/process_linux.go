// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mainProcess returns the id of the first process of the container that has the volume mounted which this process has at dir. In a process namespace shared by
// the pod nothing else tells whose a process is: but the volume is the container's own, and each memory-backed one is a file system with a device number of
// its own. proc is /proc.
//
// The processes a container runtime starts have no parent in the namespace: the container's command, and what kubectl exec or a probe runs later.
func mainProcess(proc, dir string) (pid int, err error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(dir, &stat); err != nil {
		return 0, fmt.Errorf("reading the volume: %w", err)
	}
	device := fmt.Sprintf("%d:%d", stat.Dev>>8&0xfff|stat.Dev>>32&^0xfff, stat.Dev&0xff|stat.Dev>>12&^0xff) // as the kernel packs them
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	var earliest uint64
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil || !mounts(filepath.Join(proc, entry.Name(), "mountinfo"), device, dir) {
			continue
		}
		parent, started, ok := lineage(filepath.Join(proc, entry.Name(), "stat"))
		if ok && parent == 0 && (pid == 0 || started < earliest) {
			pid, earliest = id, started
		}
	}
	if pid == 0 {
		return 0, errors.New("no process of it is there: it may not have started yet, or the pod does not share its process namespace")
	}
	return pid, nil
}

// mounts reports whether the process with this mountinfo has the device mounted elsewhere than at dir, where the sidecar itself and its probe have it.
func mounts(mountinfo, device, dir string) bool {
	text, err := os.ReadFile(mountinfo)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		const major, point = 2, 4
		if fields := strings.Fields(line); len(fields) > point && fields[major] == device {
			return fields[point] != dir
		}
	}
	return false
}

// lineage reads the parent and the start time, in ticks since the machine's start, of a process.
func lineage(stat string) (parent int, started uint64, ok bool) {
	text, err := os.ReadFile(stat)
	if err != nil {
		return 0, 0, false
	}
	_, rest, ok := cutLast(string(text), ")") // the command's name, which comes before, may hold anything
	const ppid, starttime = 1, 19
	fields := strings.Fields(rest)
	if !ok || len(fields) <= starttime {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(fields[ppid])
	if err != nil {
		return 0, 0, false
	}
	started, err = strconv.ParseUint(fields[starttime], 10, 64)
	return parent, started, err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
