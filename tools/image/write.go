// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Platform pairs an image with what it runs on.
type Platform struct {
	v1.Platform
	Image v1.Image
}

// Index returns the index of one image for several platforms.
func Index(images ...Platform) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		platform := image.Platform
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image.Image,
			Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	return index
}

// refName is how tools that read a layout know what its image is called.
const refName = "org.opencontainers.image.ref.name"

// WriteLayout writes index as an OCI layout to dir, replacing one that is
// there. It refuses to replace a directory that holds something else.
func WriteLayout(dir, reference string, index v1.ImageIndex) error {
	if err := removeLayout(dir); err != nil {
		return err
	}
	root, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("creating layout: %w", err)
	}
	annotations := map[string]string{refName: reference}
	if err := root.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
		return fmt.Errorf("writing layout: %w", err)
	}
	return nil
}

func removeLayout(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for an earlier layout: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return fmt.Errorf("replacing %s: it is not empty and not an OCI layout", dir)
	}
	return os.RemoveAll(dir)
}

// WriteArchive writes image as an archive that `docker load` and
// `ctr images import` read, and that gives it the name reference.
func WriteArchive(path, reference string, image v1.Image) error {
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("parsing image name: %w", err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("writing archive: %w", err)
	}
	return nil
}
