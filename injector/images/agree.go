// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ask looks an image up with one credential: what it runs on all of the architectures it is there for.
func (c *Client) ask(ctx context.Context, ref reference, at origin, cred credential, architectures []string) Answer {
	s, err := c.session(ref, at, cred)
	if err != nil {
		return Answer{Err: refused(Denied, "it is no name of an image")}
	}
	top, err := s.resolve(ctx)
	if err != nil {
		return Answer{Err: failed(ref.host, err)}
	}
	m, err := s.manifest(ctx, top)
	if err != nil {
		return Answer{Err: failed(ref.host, err)}
	}
	images := m.Manifests
	if m.Config != nil {
		images = []ocispec.Descriptor{top}
	}
	if len(images) > maxManifests {
		return Answer{Err: refused(Unavailable, "the image is an index of more than %d", maxManifests)}
	}
	var all []platformConfig
	for _, image := range images {
		if image.Platform != nil && !slices.Contains(architectures, image.Platform.Architecture) {
			continue
		}
		one, err := s.platform(ctx, image)
		if err != nil {
			return Answer{Err: failed(ref.host, err)}
		}
		if slices.Contains(architectures, one.architecture) {
			all = append(all, one)
		}
	}
	answer := agree(all, architectures)
	answer.digest = top.Digest.String()
	return answer
}

// platformConfig is what an image runs on one platform.
type platformConfig struct {
	name            string // such as linux/arm64/v8
	architecture    string
	entrypoint, cmd []string
}

// platform reads one image of an index, or one that stands alone. What an index says of its platform is what counts for the container runtime; else it is what the image says.
func (s *session) platform(ctx context.Context, image ocispec.Descriptor) (platformConfig, error) {
	m, err := s.manifest(ctx, image)
	if err != nil {
		return platformConfig{}, err
	}
	if m.Config == nil {
		return platformConfig{}, refused(Unavailable, "the image is an index of indexes")
	}
	c, err := s.config(ctx, *m.Config)
	if err != nil {
		return platformConfig{}, err
	}
	p := platformConfig{architecture: c.Architecture, entrypoint: c.Config.Entrypoint, cmd: c.Config.Cmd}
	switch {
	case image.Platform != nil:
		p.architecture, p.name = image.Platform.Architecture, strings.TrimSuffix("linux/"+image.Platform.Architecture+"/"+image.Platform.Variant, "/")
	case c.OS != "linux" && c.OS != "":
		p.architecture = ""
	default:
		p.name = "linux/" + c.Architecture
	}
	return p, nil
}

// agree returns what all run, or which two do not run the same. All variants of an architecture count: which of them a node takes depends on its processor, which nobody tells.
func agree(all []platformConfig, architectures []string) Answer {
	if len(all) == 0 {
		return Answer{Err: refused(Ambiguous, "it is there for none of the architectures the pod may come to: %.200s", strings.Join(architectures, ", "))}
	}
	first := all[0]
	for _, other := range all[1:] {
		if !slices.Equal(first.entrypoint, other.entrypoint) || !slices.Equal(first.cmd, other.cmd) {
			return Answer{Err: refused(Ambiguous, "it runs something else on %.60s than on %.60s", first.name, other.name)}
		}
	}
	return Answer{Entrypoint: first.entrypoint, Cmd: first.cmd}
}
