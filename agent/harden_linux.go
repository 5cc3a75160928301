// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"syscall"
)

// Harden keeps the values out of core files and away from other processes of the same user, which may then neither trace this process nor read its memory
// under /proc. Limits outlive execve; where a command is to inherit its own, see [Conceal].
func Harden() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	return Conceal()
}

// Conceal is the part of [Harden] that execve undoes. An undumpable process leaves no core file either.
func Conceal() error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("making the process undumpable: %w", errno)
	}
	return nil
}
