// SPDX-License-Identifier: Apache-2.0

// Package image builds container images of static Go binaries without a
// container daemon, from nothing but the binary: one layer, one file, no base.
//
// The same sources, Go version and Spec give the same digest on every machine:
// times, owners and order are fixed, and nothing of the machine enters.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is whom an image runs as. It is numeric, or the kubelet could not tell
// that it is not root.
const User = "65532:65532"

// epoch is the time of every file and of the image.
var epoch = time.Unix(0, 0).UTC()

// Spec describes an image of one binary.
type Spec struct {
	// Name is the file in the root directory, and the entrypoint.
	Name string
	// Labels are the image's labels, by their full name.
	Labels map[string]string
}

// New returns the image of the binary, an ELF file for platform.
func New(spec Spec, platform v1.Platform, binary string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("reading binary: %w", err)
	}
	archive, err := archiveOf(spec.Name, content)
	if err != nil {
		return nil, fmt.Errorf("writing layer of %s: %w", spec.Name, err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("creating layer of %s: %w", spec.Name, err)
	}

	base := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	base = mutate.ConfigMediaType(base, types.OCIConfigJSON)
	config := &v1.ConfigFile{
		OS:           platform.OS,
		Architecture: platform.Architecture,
		Variant:      platform.Variant,
		Created:      v1.Time{Time: epoch},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       User,
			Entrypoint: []string{path.Join("/", spec.Name)},
			WorkingDir: "/",
			Labels:     maps.Clone(spec.Labels),
		},
	}
	withConfig, err := mutate.ConfigFile(base, config)
	if err != nil {
		return nil, fmt.Errorf("configuring %s: %w", spec.Name, err)
	}
	img, err := mutate.Append(withConfig, mutate.Addendum{
		Layer:     layer,
		MediaType: types.OCILayer,
		History:   v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "COPY " + spec.Name + " /"},
	})
	if err != nil {
		return nil, fmt.Errorf("adding layer to %s: %w", spec.Name, err)
	}
	return img, nil
}

// archiveOf returns a tar archive of one executable, owned by root so that the
// process cannot change it.
func archiveOf(name string, content []byte) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o555, Size: int64(len(content)),
		ModTime: epoch, Format: tar.FormatPAX,
	}
	if err := writer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
