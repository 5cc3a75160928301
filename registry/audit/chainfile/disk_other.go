// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package chainfile

import "os"

func datasync(f *os.File) error { return f.Sync() }

// lockFile takes no lock: the registry is run on Linux, and elsewhere for development only.
func lockFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
