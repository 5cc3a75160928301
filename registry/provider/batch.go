// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"sync"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Batch is the fetches of one resolve. Whatever they want from one path (and version) of one provider comes from one read: keys of one secret belong together, and the user name
// and password of a dynamic engine are useless apart. A Batch is used for one resolve and then dropped; it is safe for concurrent use.
type Batch struct {
	manager *Manager

	mu    sync.Mutex
	reads map[batchKey]*batchRead
}

type batchKey struct {
	id
	path, version string
}

// batchRead is one read: done is closed when the rest is set.
type batchRead struct {
	done chan struct{}
	doc  Document
	err  error
}

// Begin returns the batch of a new resolve.
func (m *Manager) Begin() *Batch { return &Batch{manager: m, reads: make(map[batchKey]*batchRead)} }

// Fetch is [Manager.Fetch] within the batch. The value is as it was at some moment after the first fetch of its path in this batch began.
func (b *Batch) Fetch(ctx context.Context, orgID string, remote store.Remote) (redact.Value, error) {
	r, first := b.read(batchKey{id{orgID, remote.ProviderID}, remote.Path, remote.Version})
	if first {
		r.doc, r.err = b.manager.read(ctx, orgID, remote)
		close(r.done)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return redact.Value{}, asError(ctx.Err())
	}
	if r.err != nil {
		return redact.Value{}, r.err
	}
	value, err := r.doc.Value(remote.Key)
	if err != nil {
		return redact.Value{}, named(err, r.doc.provider)
	}
	return value, nil
}

func (b *Batch) read(key batchKey) (r *batchRead, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.reads[key]; ok {
		return r, false
	}
	r = &batchRead{done: make(chan struct{})}
	b.reads[key] = r
	return r, true
}

// read reads the document a secret refers to, together with others who want it now.
func (m *Manager) read(ctx context.Context, orgID string, remote store.Remote) (doc Document, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	o, err := m.acquire(ctx, orgID, remote.ProviderID)
	if err != nil {
		m.metrics.fetch("unknown", outcome(asError(err)), false)
		return Document{}, err
	}
	defer m.release(o)
	var shared bool
	ref, err := o.kind.Path(remote.Path, remote.Version)
	if err == nil {
		doc, shared, err = o.reads.do(ctx, ref, func(ctx context.Context) (Document, error) { return o.read(ctx, ref) })
	}
	if err != nil {
		m.metrics.fetch(o.kind.Name, outcome(asError(err)), shared)
		return Document{}, named(err, o.name)
	}
	m.metrics.fetch(o.kind.Name, outcome(nil), shared)
	doc.provider = o.name
	return doc, nil
}
