// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

// version is the tag of the images of a checkout.
const version = "e2e"

// Images are images of this checkout, as archives that a node imports.
type Images []string

// BuildImages builds the three images of Lanyard, that for tests and, if config has people, that of the OpenID provider. It needs no cluster: it can run while one starts.
func BuildImages(ctx context.Context, config Config) (Images, error) {
	config.progress("building the images of this checkout")
	dirs := []string{"cmd/lanyard-registry", "cmd/lanyard-injector", "cmd/lanyard-agent", "e2e/images/probe"}
	if len(config.People) > 0 {
		dirs = append(dirs, "e2e/images/"+openidName)
	}
	var images Images
	for _, dir := range dirs {
		archive, err := buildImage(ctx, dir)
		if err != nil {
			return nil, err
		}
		images = append(images, archive)
	}
	return images, nil
}

// buildImage builds the image of the main package in dir, which is relative to the checkout, and returns its archive. The image has the directory's name.
func buildImage(ctx context.Context, dir string) (archive string, err error) {
	source, err := checkoutPath(dir)
	if err != nil {
		return "", err
	}
	out, err := checkoutPath("dist", "e2e")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("creating the directory of images: %w", err)
	}
	name := filepath.Base(dir)
	archive = filepath.Join(out, name+".tar")
	return archive, cluster.BuildImage(ctx, source, imageReference(name), archive)
}

func imageReference(name string) string { return imagePrefix + "/" + name + ":" + version }

// loadImages imports the images into the node, building them first if they are not given.
func (i *Installation) loadImages(ctx context.Context, images Images) error {
	if images == nil {
		var err error
		if images, err = BuildImages(ctx, i.config); err != nil {
			return err
		}
	}
	i.config.progress("loading the images into the node")
	return i.Cluster.Load(ctx, images...)
}

// loadImage builds the image of the main package in dir, which is relative to the checkout, and imports it into the node.
func (i *Installation) loadImage(ctx context.Context, dir string) error {
	i.config.progress("building the image of %s", dir)
	archive, err := buildImage(ctx, dir)
	if err != nil {
		return err
	}
	return i.Cluster.Load(ctx, archive)
}

// ProbeArchive is the path of the test image's archive, which is there once images were built.
func (i *Installation) ProbeArchive() (string, error) {
	return checkoutPath("dist", "e2e", "probe.tar")
}

// ProbeImage is the test image's reference; see e2e/images/probe.
func (i *Installation) ProbeImage() string { return imageReference("probe") }
