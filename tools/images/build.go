// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lanyard-dev/lanyard/tools/image"
)

// builder holds what is the same for all images of one run.
type builder struct {
	version, out, prefix, linkerFlags string
	architectures                     []string
}

// build writes the images of the main package in dir and prints a line for each.
func (b builder) build(ctx context.Context, name, dir string, stdout io.Writer) error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return fmt.Errorf("creating output directory: %w", err)
	}
	scratch, err := os.MkdirTemp("", "images-")
	if err != nil {
		return fmt.Errorf("creating scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)

	reference := b.prefix + "/" + name + ":" + b.version
	spec := image.Spec{Name: name, Labels: b.labels(name)}
	var platforms []image.Platform
	for _, arch := range b.architectures {
		platform := v1.Platform{OS: "linux", Architecture: arch}
		binary := filepath.Join(scratch, arch)
		if err := (image.Binary{Dir: dir, LinkerFlags: b.linkerFlags}).Compile(ctx, platform, binary); err != nil {
			return err
		}
		built, err := image.New(spec, platform, binary)
		if err != nil {
			return err
		}
		archive := filepath.Join(b.out, name+"-"+arch+".tar")
		if err := image.WriteArchive(archive, reference, built); err != nil {
			return err
		}
		if err := describe(stdout, reference, platform, built); err != nil {
			return err
		}
		platforms = append(platforms, image.Platform{Platform: platform, Image: built})
	}
	return image.WriteLayout(filepath.Join(b.out, name), reference, image.Index(platforms...))
}

func (b builder) labels(name string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    name,
		"org.opencontainers.image.version":  b.version,
		"org.opencontainers.image.source":   "https://github.com/lanyard-dev/lanyard",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
}

func describe(stdout io.Writer, reference string, platform v1.Platform, built v1.Image) error {
	digest, err := built.Digest()
	if err != nil {
		return fmt.Errorf("computing digest: %w", err)
	}
	layers, err := built.Layers()
	if err != nil {
		return fmt.Errorf("reading layers: %w", err)
	}
	var size int64
	for _, layer := range layers {
		bytes, err := layer.Size()
		if err != nil {
			return fmt.Errorf("measuring layer: %w", err)
		}
		size += bytes
	}
	_, err = fmt.Fprintf(stdout, "%s %s %s %.1f MB\n", reference, platform.String(), digest, float64(size)/1e6)
	return err
}
