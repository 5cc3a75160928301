// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const keyHeader = "Idempotency-Key"

// onceOf returns what a request's key asks of the store, nil if it has none or its operation takes none. What makes two requests the same is all that a
// handler looks at: method, address, preconditions and the body as it was sent.
func onceOf(r *http.Request, call *call, body []byte) *store.Once {
	key := r.Header.Get(keyHeader)
	if key == "" || !call.operation.once || call.principal.Anonymous() {
		return nil
	}
	h := sha256.New()
	for _, part := range [][]byte{
		[]byte(r.Method), []byte(r.URL.EscapedPath()), []byte(r.URL.RawQuery), []byte(r.Header.Get("If-Match")), []byte(r.Header.Get("If-None-Match")), body,
	} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	return &store.Once{Key: key, Request: [sha256.Size]byte(h.Sum(nil))}
}

// onceShown is the text of a credential that is being made: its answer shows it, and nothing keeps it, but sealed for a request that is repeated with its key.
type onceShown struct {
	call *call
	text func(id string) string // a new text
	made string
}

// hash is what the store calls for what it keeps of the text.
func (o *onceShown) hash(id string) [32]byte {
	o.made = o.text(id)
	if o.call.once != nil {
		o.call.once.Private = []byte(o.made)
	}
	return credential.Sum(o.made)
}

// shown is the text after the change, also that of an earlier request with the same key.
func (o *onceShown) shown() string {
	if o.call.once != nil {
		return string(o.call.once.Private)
	}
	return o.made
}

// once makes a change, unless it was made already by a request with the same key: then results become what they were then. They are pointers to what the one
// mutation of change returns, and change fills them. Everything that looks at the state of things, preconditions above all, belongs into change: after the
// first request it is another.
func (s *server) once(ctx context.Context, call *call, change func() error, results ...any) error {
	if call.once == nil {
		return change()
	}
	if done, err := s.store.Recall(ctx, call.act(), results...); done || err != nil {
		return err
	}
	err := change()
	if err == nil {
		return nil
	}
	// The same request may have been on its way twice, and the other one was faster.
	if done, recallErr := s.store.Recall(ctx, call.act(), results...); recallErr == nil && done {
		return nil
	}
	return err
}
