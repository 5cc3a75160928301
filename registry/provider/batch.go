// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Keep takes charge of a lease whose values are about to be used, and records it. An error means that it did not: the lease is given back and the fetch fails.
type Keep func(ctx context.Context, g Granted) error

// Batch is the fetches of one resolve. Whatever they want from one path (and version) of one provider comes from one read: keys of one secret belong together, and the user name
// and password of a dynamic engine are useless apart. A Batch is used for one resolve and then dropped; it is safe for concurrent use.
type Batch struct {
	manager *Manager
	keep    Keep   // nil: nobody keeps leases, and End gives them back
	tokens  Tokens // nil: no pod

	mu      sync.Mutex
	reads   map[batchKey]*batchRead
	stray   map[*Lease]*opened // leases nobody keeps :: lease → the provider that granted it, held
	readers map[*opened]Reader // that read with the pod's identity
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

// Begin returns the batch of a new resolve. Without keep, leases are given back when the batch ends.
func (m *Manager) Begin(keep Keep) *Batch {
	return &Batch{manager: m, keep: keep, reads: make(map[batchKey]*batchRead), stray: make(map[*Lease]*opened)}
}

// End gives back the leases that nobody keeps, and what was got with the pod's identity. It does not block; no fetch may be on the way.
func (b *Batch) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l, o := range b.stray {
		b.manager.giveBack(o, l)
		b.manager.release(o)
	}
	clear(b.stray)
	b.manager.closeReaders(b.readers)
	clear(b.readers)
}

// settle sees to the lease of a document that was read for this batch: it is kept, or given back when the batch ends.
func (b *Batch) settle(ctx context.Context, key batchKey, doc Document) error {
	if doc.Lease == nil {
		return nil
	}
	var err error
	if b.keep != nil {
		if err = b.keep(ctx, Granted{OrgID: key.org, ProviderID: key.provider, Provider: doc.provider, Path: key.path, Lease: *doc.Lease}); err == nil {
			b.manager.release(doc.from)
			return nil
		}
		err = &Error{Kind: KindUnavailable, Reason: ReasonLease, Provider: doc.provider, Message: "the lease could not be recorded, so it was given back", Err: err}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stray[doc.Lease] = doc.from
	return err
}

// Fetched is a value and how it was got.
type Fetched struct {
	Value  redact.Value // the caller's, who wipes it
	Leased bool         // it was made for this batch alone
	Source Source
}

// Source says where and when a value was read, for those that keep it.
type Source struct {
	Keep     time.Duration     // the record's LastKnownGood; the rest is set only if it is not 0
	Revision int64             // of the record
	ReadAt   time.Time         // when the read began
	Document [sha256.Size]byte // the same for all values that belong together; as secret as they are
}

// Fetch is [Manager.Fetch] within the batch. The value is as it was at some moment after the first fetch of its path in this batch began.
func (b *Batch) Fetch(ctx context.Context, orgID string, remote store.Remote) (Fetched, error) {
	key := batchKey{id{orgID, remote.ProviderID}, remote.Path, remote.Version}
	r, first := b.read(key)
	if first {
		b.fill(ctx, r, key, orgID, remote)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return Fetched{}, asError(ctx.Err())
	}
	if r.err != nil {
		return Fetched{}, r.err
	}
	value, err := r.doc.Value(remote.Key)
	if err != nil {
		return Fetched{}, named(err, r.doc.provider)
	}
	return Fetched{value, r.doc.Leased, r.doc.source}, nil
}

// fill reads for all fetches of a path. If it panics, the others fail: they neither wait for what never comes, nor take it for an empty document.
func (b *Batch) fill(ctx context.Context, r *batchRead, key batchKey, orgID string, remote store.Remote) {
	defer close(r.done)
	r.err = &Error{Kind: KindUnavailable, Reason: ReasonServer, Message: "reading panicked"}
	doc, err := b.readDocument(ctx, orgID, remote)
	if err == nil {
		err = b.settle(ctx, key, doc)
	}
	r.doc, r.err = doc, err
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

// readDocument reads the document a secret refers to, together with others who want it now, or as the pod.
func (b *Batch) readDocument(ctx context.Context, orgID string, remote store.Remote) (doc Document, err error) {
	m := b.manager
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	o, err := m.acquire(ctx, orgID, remote.ProviderID)
	if err != nil {
		m.metrics.fetch("unknown", outcome(asError(err)), false)
		return Document{}, err
	}
	defer m.release(o)
	source := m.source(o)
	var shared bool
	ref, err := o.kind.Path(remote.Path, remote.Version)
	switch {
	case err != nil:
	case o.audience != "":
		source.Keep = 0 // what one pod may read is not kept for others
		doc, err = b.readAsPod(ctx, o, ref)
	default:
		doc, shared, err = o.reads.do(ctx, ref, func(ctx context.Context) (Document, error) { return o.read(ctx, ref, o.provider.Read) })
	}
	if err != nil {
		m.metrics.fetch(o.kind.Name, outcome(asError(err)), shared)
		return Document{}, named(err, o.name)
	}
	m.metrics.fetch(o.kind.Name, outcome(nil), shared)
	doc.provider = o.name
	if doc.Lease != nil {
		doc.from = m.hold(o)
	}
	if source.Keep > 0 {
		source.ReadAt, source.Document = doc.readAt, doc.digest()
		doc.source = source
	}
	return doc, nil
}
