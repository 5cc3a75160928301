// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

const (
	// maxDocument bounds what is read at once: sixteen of them have to fit into the injector's memory beside everything else. Configurations have some ten KiB.
	maxDocument = 1 << 20
	// maxManifests bounds the images of an index that are looked at.
	maxManifests = 64
	// maxWords bounds what an image runs. It is written into the pod, and kept.
	maxWords = 16 << 10
)

// The kinds of documents that are read.
var (
	indexTypes    = []string{ocispec.MediaTypeImageIndex, "application/vnd.docker.distribution.manifest.list.v2+json"}
	manifestTypes = []string{ocispec.MediaTypeImageManifest, "application/vnd.docker.distribution.manifest.v2+json"}
)

// manifest is an index of images or one image.
type manifest struct {
	Manifests []ocispec.Descriptor `json:"manifests"` // of an index
	Config    *ocispec.Descriptor  `json:"config"`    // of an image
}

// config is what of an image's configuration counts here.
type config struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Entrypoint []string `json:"Entrypoint"`
		Cmd        []string `json:"Cmd"`
	} `json:"config"`
}

// session reads one repository with one credential, for one pod.
type session struct {
	client *Client
	ref    reference
	repo   *remote.Repository
	scope  string // of the keys under which is kept what it reads
}

func (c *Client) session(ref reference, at origin, cred credential) (*session, error) {
	repo, err := remote.NewRepository(at.host + "/" + ref.repository)
	if err != nil {
		return nil, fmt.Errorf("addressing the repository: %w", err)
	}
	client := &auth.Client{Client: c.http.Load(), Cache: auth.NewCache(), ClientID: userAgent}
	client.SetUserAgent(userAgent)
	if cred != (credential{}) {
		client.Credential = func(_ context.Context, host string) (auth.Credential, error) {
			if host != at.host {
				return auth.EmptyCredential, nil
			}
			return auth.Credential{Username: cred.username, Password: cred.password}, nil
		}
	}
	repo.Client, repo.PlainHTTP, repo.ManifestMediaTypes = client, at.scheme == "http", slices.Concat(indexTypes, manifestTypes)
	return &session{client: c, ref: ref, repo: repo, scope: c.mark(ref.host, cred) + " " + ref.name() + " "}, nil
}

const userAgent = "lanyard-injector"

// mark is what stands for a credential in keys. Nobody's is of no host, so that it cannot be another's.
func (c *Client) mark(host string, cred credential) string {
	if cred == (credential{}) {
		return "anonymous"
	}
	h := hmac.New(sha256.New, c.key[:])
	for _, part := range []string{host, cred.username, cred.password} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// resolve returns what the reference names at the moment, or a moment ago.
func (s *session) resolve(ctx context.Context) (ocispec.Descriptor, error) {
	lifetime := tagged
	if s.ref.digest != "" {
		lifetime = authorized
	}
	return load(ctx, s, "names "+s.ref.what(), lifetime, func(ctx context.Context) (ocispec.Descriptor, error) {
		return s.repo.Manifests().Resolve(ctx, s.ref.what())
	})
}

// manifest reads an index or the manifest of an image.
func (s *session) manifest(ctx context.Context, desc ocispec.Descriptor) (manifest, error) {
	return load(ctx, s, "manifest "+desc.Digest.String(), authorized, func(ctx context.Context) (manifest, error) {
		var m manifest
		isIndex := slices.Contains(indexTypes, desc.MediaType)
		if !isIndex && !slices.Contains(manifestTypes, desc.MediaType) {
			return m, refused(Unavailable, "image registry %s has it in a format that is not read", s.ref.host)
		}
		if err := s.document(ctx, s.repo.Manifests(), desc, &m); err != nil {
			return m, err
		}
		switch {
		case isIndex:
			return manifest{Manifests: linux(m.Manifests)}, nil
		case m.Config == nil:
			return m, refused(Unavailable, "the manifest at image registry %s has no configuration", s.ref.host)
		}
		lean := leanDescriptor(*m.Config)
		return manifest{Config: &lean}, nil
	})
}

// config reads the configuration of an image.
func (s *session) config(ctx context.Context, desc ocispec.Descriptor) (config, error) {
	return load(ctx, s, "config "+desc.Digest.String(), authorized, func(ctx context.Context) (config, error) {
		var c config
		if err := s.document(ctx, s.repo.Blobs(), desc, &c); err != nil {
			return c, err
		}
		size := len(c.Architecture) + len(c.OS)
		for _, word := range slices.Concat(c.Config.Entrypoint, c.Config.Cmd) {
			size += len(word) + 1
		}
		if size > maxWords {
			return config{}, refused(Unavailable, "what the image runs has more than %d bytes", maxWords)
		}
		return c, nil
	})
}

// fetcher is a part of a repository.
type fetcher interface {
	Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// document reads JSON that has the size and digest of desc.
func (s *session) document(ctx context.Context, from fetcher, desc ocispec.Descriptor, into any) error {
	if desc.Size < 0 || desc.Size > maxDocument {
		return refused(Unavailable, "image registry %s has a document of more than %d bytes", s.ref.host, maxDocument)
	}
	if desc.Digest.Validate() != nil {
		return refused(Unavailable, "image registry %s names something by what is no digest", s.ref.host)
	}
	body, err := from.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	defer body.Close()
	text, err := content.ReadAll(body, desc) // checks both
	if err != nil {
		return fmt.Errorf("reading %s: %w", desc.Digest, err)
	}
	if json.Unmarshal(text, into) != nil {
		return refused(Unavailable, "image registry %s has a document that cannot be read", s.ref.host)
	}
	return nil
}

// linux returns the first images of an index that are for Linux, or do not say what they are for.
func linux(all []ocispec.Descriptor) (some []ocispec.Descriptor) {
	for _, d := range all {
		if (d.Platform == nil || d.Platform.OS == "linux") && len(some) <= maxManifests {
			some = append(some, leanDescriptor(d))
		}
	}
	return some
}

// leanDescriptor leaves out what is not needed and could be large.
func leanDescriptor(d ocispec.Descriptor) ocispec.Descriptor {
	lean := ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	if d.Platform != nil {
		lean.Platform = &ocispec.Platform{OS: d.Platform.OS, Architecture: d.Platform.Architecture, Variant: d.Platform.Variant}
	}
	return lean
}

var errPanicked = errors.New("reading panicked")

// load returns what is kept under a key of the session, or reads it. Equal reads at the same time are one; it goes on if ctx ends, for whoever else waits for it.
func load[T any](ctx context.Context, s *session, key string, lifetime time.Duration, read func(context.Context) (T, error)) (T, error) {
	c, key := s.client, s.scope+key
	var none T
	if kept, ok := c.cache.get(key); ok {
		return kept.(T), nil
	}
	shared := c.flights.DoChan(key, func() (value any, err error) {
		defer func() {
			if recover() != nil { // what a hostile registry makes of a mistake of ours ends neither the process nor another pod
				value, err = none, errPanicked
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		leave, err := c.bulkhead.enter(ctx, s.ref.host)
		if err != nil {
			return none, err
		}
		defer leave()
		read, err := read(ctx)
		if err == nil {
			c.cache.put(key, read, lifetime)
		}
		return read, err
	})
	select {
	case result := <-shared:
		if result.Err != nil {
			return none, result.Err
		}
		return result.Val.(T), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
