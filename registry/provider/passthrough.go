// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"fmt"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// PassThrough is a [Provider] that can be read with the identity of a pod. Where [Type.Audience] says so, its own Read fails with ReasonPodRequired, and its Check finds out what
// can be without a pod.
type PassThrough interface {
	Provider
	// As returns a reader for the pod that the token is of. Nothing it learns with the token serves anybody else. It does no I/O; the caller closes it.
	As(token redact.Value) Reader
}

// Reader reads as [Provider.Read] does, for one pod. Close forgets what Read got from the server, and revokes there what no lease depends on, within a second or so.
type Reader interface {
	Read(ctx context.Context, ref Ref) (Document, error)
	Close() error
}

// Tokens are a pod's own tokens for providers. They belong to the pod: whoever puts them here has made sure of that.
type Tokens map[string]redact.Value // :: audience → token

// For makes b a batch of a pod with these tokens, and returns it. It is called before the first fetch.
func (b *Batch) For(tokens Tokens) *Batch {
	b.tokens = tokens
	return b
}

// readAsPod reads with the pod's identity. The read is never shared with another pod's: the server may answer that one otherwise.
func (b *Batch) readAsPod(ctx context.Context, o *opened, ref Ref) (Document, error) {
	if b.tokens == nil {
		return Document{}, PodRequired()
	}
	token, ok := b.tokens[o.audience]
	if !ok {
		return Document{}, &Error{Kind: KindDenied, Reason: ReasonPodToken,
			Message: fmt.Sprintf("the pod has no token for audience %q: recreate the pod, it was admitted before its secrets needed one", o.audience)}
	}
	pass, ok := o.provider.(PassThrough)
	if !ok {
		return Document{}, &Error{Kind: KindInvalid, Reason: ReasonConfig, Message: "this type of provider cannot be read with a pod's identity"}
	}
	b.mu.Lock()
	reader, ok := b.readers[o]
	if !ok {
		if b.readers == nil {
			b.readers = make(map[*opened]Reader)
		}
		reader = pass.As(token)
		b.readers[o] = reader
	}
	b.mu.Unlock()
	return o.read(ctx, ref, reader.Read)
}

// PodRequired is what reading fails with where only a pod can.
func PodRequired() *Error {
	return &Error{Kind: KindDenied, Reason: ReasonPodRequired, Message: "the provider is read with the identity of the pod that starts, so that nobody else can read from it"}
}

// closeReaders forgets what was got for the pod of a batch, in the background.
func (m *Manager) closeReaders(readers map[*opened]Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	for o, reader := range readers {
		m.closing.Go(func() {
			if err := reader.Close(); err != nil {
				m.config.Log.Debug("login of a pod not revoked: it ends by itself", "provider", o.name, "type", o.kind.Name, "err", err)
			}
		})
	}
}

// Audience returns the audience of the pods' own tokens that a record demands; empty if it is read with an identity of its own.
func (m *Manager) Audience(r Record) string {
	if t, ok := m.types[r.Type]; ok && t.Audience != nil {
		return t.Audience(r.Config)
	}
	return ""
}
