// SPDX-License-Identifier: Apache-2.0

package images

import (
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

// dockerHub is the host of images that name none.
const dockerHub = "docker.io"

// reference is an image as a pod names it, read as the kubelet reads it.
type reference struct {
	host       string // docker.io if the name has none
	repository string
	tag        string // latest if there is neither a tag nor a digest
	digest     digest.Digest
}

// name is the repository with its host, which pull secrets are matched to.
func (r reference) name() string { return r.host + "/" + r.repository }

// what is the tag or the digest that is asked for.
func (r reference) what() string {
	if r.digest != "" {
		return r.digest.String()
	}
	return r.tag
}

// maxReference bounds an image's name: repositories have at most 255 characters, tags 128.
const maxReference = 512

var errReference = errors.New("it is no name of an image")

// parseReference reads the name of an image. The error is errReference.
func parseReference(text string) (reference, error) {
	if len(text) > maxReference {
		return reference{}, errReference
	}
	name, sum, pinned := strings.Cut(text, "@")
	var r reference
	if pinned {
		var err error
		if r.digest, err = digest.Parse(sum); err != nil {
			return reference{}, errReference
		}
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, r.tag = name[:colon], name[colon+1:]
		if r.tag == "" {
			return reference{}, errReference
		}
	}
	if r.tag == "" && !pinned {
		r.tag = "latest"
	}
	first, rest, slash := strings.Cut(name, "/")
	switch isHost := strings.ContainsAny(first, ".:") || first == "localhost" || first != strings.ToLower(first); {
	case slash && isHost:
		r.host, r.repository = strings.ToLower(first), rest
	default:
		r.host, r.repository = dockerHub, name
	}
	if r.host == "index.docker.io" {
		r.host = dockerHub
	}
	if r.host == dockerHub && !strings.Contains(r.repository, "/") {
		r.repository = "library/" + r.repository
	}
	check := registry.Reference{Registry: r.host, Repository: r.repository, Reference: r.tag}
	if check.ValidateRegistry() != nil || check.ValidateRepository() != nil || r.tag != "" && check.ValidateReferenceAsTag() != nil {
		return reference{}, errReference
	}
	return r, nil
}
