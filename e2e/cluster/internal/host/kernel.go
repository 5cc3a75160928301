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

// controlGroups returns our control group's directories: one on a machine with
// version 2, one for each controller with version 1.
func controlGroups() []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + cgroup, "/sys/fs/cgroup/*/" + cgroup} {
		dirs, err := filepath.Glob(pattern)
		if err == nil {
			found = append(found, dirs...)
		}
	}
	return found
}

// controlGroupMembers returns the processes of all containers.
func controlGroupMembers() ([]process.Record, error) {
	var members []process.Record
	for _, root := range controlGroups() {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a group that ends while we look
			}
			if err != nil || entry.Name() != "cgroup.procs" {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return nil //nolint:nilerr // the same
			}
			for _, field := range strings.Fields(string(content)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					return fmt.Errorf("parsing %s: %w", path, err)
				}
				if record, err := process.Identify(pid); err == nil && record.Alive() {
					members = append(members, record)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing containers' processes: %w", err)
		}
	}
	return members, nil
}

// removeControlGroups removes our control groups, innermost first.
func removeControlGroups() error {
	var dirs []string
	for _, root := range controlGroups() {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("listing control groups: %w", err)
		}
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing control group: %w", err)
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
