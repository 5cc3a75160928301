// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package agent

import (
	"fmt"
	"syscall"
)

// Harden keeps the values out of core files.
func Harden() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	return nil
}

// Conceal does nothing here.
func Conceal() error { return nil }
