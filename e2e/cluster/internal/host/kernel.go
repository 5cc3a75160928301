// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/process"
)

// cgroupParent is the control group in which containerd makes one for each
// container. It is fixed, so another containerd's containers may be there too.
const cgroupParent = "k8s.io"

// containers returns the ids of the containers that containerd had running.
func (c *Cluster) containers() ([]string, error) {
	entries, err := os.ReadDir(c.path("containerd", "state", "io.containerd.runtime.v2.task", "k8s.io"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	return ids, nil
}

// controlGroups returns the directories of control groups by path: one for each
// on a machine with version 2, one for each and controller with version 1.
func controlGroups(paths ...string) []string {
	var found []string
	for _, path := range paths {
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			// The only error is a malformed pattern.
			dirs, _ := filepath.Glob(filepath.Join(root, cgroupParent, path))
			found = append(found, dirs...)
		}
	}
	return found
}

// members returns the processes in control groups and those below.
func members(groups []string) ([]process.Record, error) {
	var all []process.Record
	err := walk(groups, func(dir string) error {
		content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil //nolint:nilerr // a group that ends while we look, or holds threads only
		}
		for _, field := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("parsing members of %s: %w", dir, err)
			}
			if record, err := process.Identify(pid); err == nil && record.Alive() {
				all = append(all, record)
			}
		}
		return nil
	})
	return all, err
}

// removeControlGroups removes control groups and those below, innermost first,
// and the parent if nothing else is in it.
func removeControlGroups(groups []string) error {
	var dirs []string
	err := walk(groups, func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing control group: %w", err)
		}
	}
	for _, parent := range controlGroups("") {
		// Refused while it has members or children; whoever needs it makes it again.
		_ = os.Remove(parent)
	}
	return nil
}

// walk calls visit for each directory in roots, and for each below it, parents first.
func walk(roots []string, visit func(dir string) error) error {
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case entry.IsDir():
				return visit(path)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading control groups: %w", err)
		}
	}
	return nil
}

// unmountBelow unmounts everything below dir, the latest mount first.
func unmountBelow(dir string) error {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading mounts: %w", err)
	}
	var problems []error
	for _, point := range slices.Backward(mountPoints(string(content), dir)) {
		err := unix.Unmount(point, 0)
		if errors.Is(err, unix.EBUSY) {
			// Its last user has been killed; the kernel finishes when it is gone.
			err = unix.Unmount(point, unix.MNT_DETACH)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			problems = append(problems, fmt.Errorf("unmounting %s: %w", point, err))
		}
	}
	return errors.Join(problems...)
}

// mountPoints returns the mount points below dir in the order of mounting.
func mountPoints(mountinfo, dir string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

// unescape undoes how the kernel writes white space and backslashes: \040.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
