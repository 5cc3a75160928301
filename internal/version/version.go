// SPDX-License-Identifier: Apache-2.0

// Package version tells which release a binary was built from.
package version

import "runtime/debug"

// release is set by the image build with -ldflags "-X github.com/lanyard-dev/lanyard/internal/version.release=v1.2.3".
var release string

// String returns the release, or what the Go toolchain knows of the build when there is none. It is never empty.
func String() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value
		}
	}
	return "devel"
}
