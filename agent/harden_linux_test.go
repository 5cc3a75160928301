// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"syscall"
	"testing"
)

func TestHardenForbidsCoreFilesAndTracing(t *testing.T) {
	prctl := func(option, value uintptr) uintptr {
		got, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, value, 0, 0, 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return got
	}
	t.Cleanup(func() { prctl(syscall.PR_SET_DUMPABLE, 1) })
	if err := Harden(); err != nil {
		t.Fatal(err)
	}
	if got := prctl(syscall.PR_GET_DUMPABLE, 0); got != 0 {
		t.Errorf("dumpable = %d, want 0", got)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit != (syscall.Rlimit{}) {
		t.Errorf("core limit = %+v, %v, want 0", limit, err)
	}
}
