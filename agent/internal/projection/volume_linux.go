// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"strconv"
	"syscall"
)

// volumeSize returns the size of the file system dir is on, as Kubernetes would write it, or "" if it cannot be told. A memory-backed emptyDir's is its
// sizeLimit.
func volumeSize(dir string) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil || stat.Bsize <= 0 {
		return ""
	}
	return strconv.FormatUint(stat.Blocks*uint64(stat.Bsize)>>10, 10) + "Ki"
}
