// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"iter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
)

// ChainQuery selects consecutive events of a chain.
type ChainQuery struct {
	After uint64 // the sequence number behind which to begin
	Last  *int   // if set, begins this many events before the end, and After does not count
	Limit int    // at least 1
	// MaxBytes ends the answer after the event that passes it.
	MaxBytes int
	// Wait is how long to wait for an event if there is none yet.
	Wait time.Duration
}

// AuditChain returns the lines of the audit chain of an organization, or of the installation if orgID is "", the oldest first, and reads no more than it
// returns and one batch. It returns [ErrIntegrity] if a record on the way does not verify; whether the lines lead to each other is for the reader to check. If
// there are none it waits for one as long as the query says, and then returns none.
func (s *Store) AuditChain(ctx context.Context, orgID string, q ChainQuery) ([]auditchain.Line, error) {
	name := orgID
	if name == "" {
		name = installation
	}
	if err := s.keyErr(); err != nil {
		return nil, err
	}
	_, head, err := s.heads(ctx, name)
	if err != nil {
		return nil, err
	}
	after := q.After
	if q.Last != nil {
		after = head.Seq - min(head.Seq, uint64(max(0, *q.Last)))
	}
	if after >= head.Seq {
		if q.Wait <= 0 {
			return nil, nil
		}
		if err := s.awaitHead(ctx, name, head.seen, q.Wait); err != nil {
			return nil, err
		}
	}
	lines, err := s.chainLines(ctx, name, after, q)
	if err != nil {
		return nil, fmt.Errorf("reading audit chain: %w", err)
	}
	return lines, nil
}

// awaitHead returns when a chain has grown since a revision, or the time is over.
func (s *Store) awaitHead(ctx context.Context, name string, since int64, wait time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case <-s.client.Watch(limited, s.space.auditHead(name), clientv3.WithRev(since+1)): // whatever it says, what follows looks again
	case <-limited.Done():
	}
	return context.Cause(ctx)
}

// chainLines reads the lines behind a sequence number.
func (s *Store) chainLines(ctx context.Context, name string, after uint64, q ChainQuery) (lines []auditchain.Line, err error) {
	from, err := s.batchWith(ctx, name, after+1)
	if err != nil {
		return nil, err
	}
	size := 0
	for batch, err := range s.batches(ctx, name, from, 8) {
		if err != nil {
			return nil, err
		}
		position := auditchain.Position{Seq: batch.Seq - 1, Hash: batch.Prev}
		for _, event := range batch.Events {
			var line auditchain.Line
			if line, position = position.Line(name, event); line.Seq <= after {
				continue
			}
			lines = append(lines, line)
			if size += len(event); len(lines) >= q.Limit || q.MaxBytes > 0 && size >= q.MaxBytes {
				return lines, nil
			}
		}
	}
	return lines, nil
}

// batches yields the batches of a chain from a key on, oldest first, reading a page of them at a time. An error is the last it yields.
func (s *Store) batches(ctx context.Context, name, from string, page int64) iter.Seq2[auditBatch, error] {
	return func(yield func(auditBatch, error) bool) {
		for {
			limited, cancel := context.WithTimeout(ctx, readTimeout)
			resp, err := s.client.Get(limited, from, clientv3.WithRange(s.space.auditHead(name)), clientv3.WithLimit(page)) // "events/" sorts before "head"
			cancel()
			if err != nil {
				yield(auditBatch{}, etcdError(ctx, err))
				return
			}
			for _, kv := range resp.Kvs {
				batch, err := s.openBatch(string(kv.Key), kv.Value)
				if !yield(batch, err) || err != nil {
					return
				}
				from = string(kv.Key) + "\x00"
			}
			if !resp.More {
				return
			}
		}
	}
}

// batchWith returns the key to begin with so as to find an event: that of its batch, or its own if there is none before it.
func (s *Store) batchWith(ctx context.Context, name string, seq uint64) (string, error) {
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, s.space.auditEvents(name, 0), clientv3.WithRange(s.space.auditEvents(name, seq+1)),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return "", etcdError(ctx, err)
	}
	if len(resp.Kvs) == 0 {
		return s.space.auditEvents(name, seq), nil
	}
	return string(resp.Kvs[0].Key), nil
}
