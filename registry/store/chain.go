// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/registry/audit"
)

// chain is what this process knows about one audit chain. Its lock lets one transaction of this process at a time try to become the next link, so that only
// other replicas cause conflicts.
type chain struct {
	token chan struct{} // holds one token while locked

	mu      sync.Mutex
	waiting []*appending // audit events to be written together by whoever locks next
}

func (s *Store) chain(name string) *chain {
	if c, ok := s.chains.Load(name); ok {
		return c.(*chain)
	}
	c, _ := s.chains.LoadOrStore(name, &chain{token: make(chan struct{}, 1)})
	return c.(*chain)
}

func (c *chain) lock(ctx context.Context) error {
	select {
	case c.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *chain) unlock() { <-c.token }

// chainHead is the end of a chain, and where its kept part begins.
type chainHead struct {
	Seq   uint64 `json:"seq"`   // of the newest event; 0 before the first one
	Hash  []byte `json:"hash"`  // of the newest event
	First uint64 `json:"first"` // of the oldest event kept
	Base  []byte `json:"base"`  // hash of the event before First

	rev  int64 // mod revision of the head's key, 0 if there is none
	seen int64 // revision at which it was read
}

// auditBatch is a record of consecutive events.
type auditBatch struct {
	Seq    uint64            `json:"seq"`  // of the first event
	Prev   []byte            `json:"prev"` // hash of the event before it
	Events []json.RawMessage `json:"events"`
}

// link is a transaction that adds events to a chain.
type link struct {
	compares []clientv3.Cmp
	ops      []clientv3.Op
	key      string // of the batch
	record   string
	head     chainHead // the head after it, without its revision
}

// link makes the next link after head.
func (s *Store) link(chainName string, head chainHead, events []audit.Event) (link, error) {
	batch := auditBatch{Seq: head.Seq + 1, Prev: head.Hash, Events: make([]json.RawMessage, len(events))}
	next := head
	for i, event := range events {
		encoded, err := json.Marshal(event)
		if err != nil {
			return link{}, fmt.Errorf("encoding audit event: %w", err)
		}
		batch.Events[i] = encoded
		next.Seq++
		next.Hash = auditchain.Hash(next.Hash).Next(encoded)
	}
	if next.First == 0 {
		next.First = 1
	}
	l := link{key: s.space.auditEvents(chainName, batch.Seq), head: next}
	headKey := s.space.auditHead(chainName)
	var err error
	if l.record, err = seal(s.keys, l.key, kindAudit, batch); err != nil {
		return link{}, err
	}
	headRecord, err := seal(s.keys, headKey, kindAuditHead, next)
	if err != nil {
		return link{}, err
	}
	l.compares = []clientv3.Cmp{exists(headKey, head.rev), absent(l.key)}
	l.ops = []clientv3.Op{clientv3.OpPut(headKey, headRecord), clientv3.OpPut(l.key, l.record)}
	return l, nil
}

// headOps read what a mutation depends on; [Store.readHeads] understands the answer.
func (s *Store) headOps(chainName string) []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(s.space.tip(), clientv3.WithKeysOnly()), clientv3.OpGet(s.space.auditHead(chainName))}
}

// heads reads the tip and the head of a chain at one revision.
func (s *Store) heads(ctx context.Context, chainName string) (tip int64, head chainHead, err error) {
	tip, head, _, err = s.headsAnd(ctx, chainName, nil)
	return tip, head, err
}

// headsAnd is heads, and returns the answers to some other reads at the same revision.
func (s *Store) headsAnd(ctx context.Context, chainName string, gets []clientv3.Op) (tip int64, head chainHead, responses []*etcdserverpb.ResponseOp, err error) {
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	ops := s.headOps(chainName)
	resp, err := s.client.Txn(limited).Then(append(ops, gets...)...).Commit()
	if err != nil {
		return 0, chainHead{}, nil, fmt.Errorf("reading audit head: %w", etcdError(ctx, err))
	}
	tip, head, err = s.readHeads(chainName, resp)
	return tip, head, resp.Responses[len(ops):], err
}

func (s *Store) readHeads(chainName string, resp *clientv3.TxnResponse) (tip int64, head chainHead, err error) {
	tip = resp.Header.Revision // if somebody deleted the tip
	head.seen = resp.Header.Revision
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		tip = kvs[0].ModRevision
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		if err := unseal(s.keys, s.space.auditHead(chainName), kindAuditHead, kvs[0].Value, &head); err != nil {
			return 0, chainHead{}, fmt.Errorf("head of audit chain %s: %w", chainName, err)
		}
		head.rev = kvs[0].ModRevision
	}
	return tip, head, nil
}
