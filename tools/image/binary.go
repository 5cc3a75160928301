// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// QuickFlag is the flag of a build whose binaries need not be fast: neither
// debugging information, which the linker would drop, nor inlining, which is a
// quarter of the compilers' time. All that a disposable cluster needs is built with
// it, so that the packages its binaries share are compiled once.
const QuickFlag = "-gcflags=all=-dwarf=false -l"

// Binary describes how to compile the main package in Dir.
type Binary struct {
	// Dir is the main package's directory. The module it is in decides versions.
	Dir string
	// LinkerFlags are added to those that make the binary small and reproducible.
	LinkerFlags string
	// Quick builds with QuickFlag, for an image that is not released.
	Quick bool
}

// Compile writes a static binary for platform to out.
func (b Binary) Compile(ctx context.Context, platform v1.Platform, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	compiler := "-gcflags=all=-dwarf=false" // -w drops it anyway
	if b.Quick {
		compiler = QuickFlag
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", compiler,
		"-ldflags", "-s -w -buildid= "+b.LinkerFlags, "-o", out, ".")
	cmd.Dir = b.Dir
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture,
		// Whatever the caller's are, they would change the digest.
		"GOFLAGS=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s for %s: %w\n%s", b.Dir, platform.String(), err, output)
	}
	return nil
}
