// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lanyard-dev/lanyard/e2e/cluster/internal/toolchain"
	"github.com/lanyard-dev/lanyard/tools/image"
)

// BuildImage compiles the main package in dir for this machine, and writes the
// image of it, called reference, to the docker archive that Load takes.
func BuildImage(ctx context.Context, dir, reference, archive string) error {
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	scratch, err := os.MkdirTemp("", "lanyard-image-")
	if err != nil {
		return fmt.Errorf("creating scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	defer toolchain.UseHugePages()()
	name := filepath.Base(dir)
	binary := filepath.Join(scratch, name)
	if err := (image.Binary{Dir: dir, Quick: true}).Compile(ctx, platform, binary); err != nil {
		return err
	}
	built, err := image.New(image.Spec{Name: name}, platform, binary)
	if err != nil {
		return err
	}
	return image.WriteArchive(archive, reference, built)
}
