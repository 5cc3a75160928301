// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/auditchain"
	"github.com/lanyard-dev/lanyard/registry/audit"
)

// VerifyAudit walks the audit chain of an organization, or of the installation if orgID is "", from the oldest event kept to the newest. It returns how many
// events there are and where the chain ends, or an error wrapping [ErrIntegrity] that names the first one that was edited, dropped or reordered. A chain whose end
// was replaced by an older one as a whole cannot be told from here; compare the end and the log outside.
func (s *Store) VerifyAudit(ctx context.Context, orgID string) (events uint64, end auditchain.Position, err error) {
	name := orgID
	if name == "" {
		name = installation
	}
	if err := s.keyErr(); err != nil {
		return 0, end, err
	}
	_, head, err := s.heads(ctx, name)
	if err != nil || head.rev == 0 {
		return 0, end, err
	}
	seq, hash := head.First, head.Base
	from, until := s.space.auditEvents(name, 0), s.space.auditHead(name) // "events/" sorts before "head"
	for more := true; more; {
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		resp, err := s.client.Get(limited, from, clientv3.WithRange(until), clientv3.WithLimit(64), clientv3.WithRev(head.seen))
		cancel()
		if err != nil {
			return 0, end, fmt.Errorf("verifying audit chain: %w", etcdError(ctx, err))
		}
		for _, kv := range resp.Kvs {
			batch, err := s.openBatch(string(kv.Key), kv.Value)
			switch {
			case err != nil:
				return 0, end, fmt.Errorf("verifying audit chain: event %d: %w", seq, err)
			case batch.Seq != seq || !bytes.Equal(batch.Prev, hash):
				return 0, end, fmt.Errorf("verifying audit chain: event %d: %w: event %d follows", seq, ErrIntegrity, batch.Seq)
			}
			for _, event := range batch.Events {
				hash = auditchain.Hash(hash).Next(event)
				seq++
			}
			from = string(kv.Key) + "\x00"
		}
		more = resp.More
	}
	if seq != head.Seq+1 || !bytes.Equal(hash, head.Hash) {
		return 0, end, fmt.Errorf("verifying audit chain: event %d: %w: the end is missing", seq, ErrIntegrity)
	}
	return seq - head.First, auditchain.Position{Seq: head.Seq, Hash: head.Hash}, nil
}

// trimAudit drops, of every chain, the events beyond the configured number and age.
func (s *Store) trimAudit(ctx context.Context) {
	names, err := s.chainNames(ctx)
	if err != nil {
		s.log.Warn("audit retention did not complete", "err", err)
		return
	}
	for _, name := range names {
		if err := s.trimChain(ctx, name); err != nil && !errors.Is(err, errContention) {
			s.log.Warn("audit retention did not complete", "chain", name, "err", err)
		}
	}
}

// chainNames reads which chains there are, jumping from one to the next.
func (s *Store) chainNames(ctx context.Context) ([]string, error) {
	var names []string
	from, end := s.space.audits(), string(s.space)+"audit0"
	for {
		limited, cancel := context.WithTimeout(ctx, readTimeout)
		resp, err := s.client.Get(limited, from, clientv3.WithRange(end), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		cancel()
		if err != nil {
			return nil, etcdError(ctx, err)
		}
		if len(resp.Kvs) == 0 {
			return names, nil
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(string(resp.Kvs[0].Key), s.space.audits()), "/")
		names = append(names, name)
		from = s.space.audits() + name + "0"
	}
}

// trimChain deletes whole batches from the beginning of a chain and moves the checkpoint in its head, in one transaction.
func (s *Store) trimChain(ctx context.Context, name string) error {
	c := s.chain(name)
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	_, head, err := s.heads(ctx, name)
	if err != nil || head.rev == 0 {
		return err
	}
	first, err := s.firstKept(ctx, name, head)
	if err != nil || first == nil {
		return err
	}
	head.First, head.Base = first.Seq, first.Prev
	headKey := s.space.auditHead(name)
	record, err := seal(s.keys, headKey, kindAuditHead, head)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resp, err := s.client.Txn(limited).
		If(exists(headKey, head.rev)).
		Then(clientv3.OpPut(headKey, record), clientv3.OpDelete(s.space.auditEvents(name, 0), clientv3.WithRange(s.space.auditEvents(name, first.Seq)))).
		Commit()
	if err != nil {
		return etcdError(ctx, err)
	}
	if !resp.Succeeded {
		return errContention // the next round
	}
	return nil
}

// firstKept returns the batch the chain should begin with, nil if it does. The newest batch is always kept.
func (s *Store) firstKept(ctx context.Context, name string, head chainHead) (*auditBatch, error) {
	cutoff := now().Add(-s.config.AuditAge)
	from := head.First
	if kept := uint64(s.config.AuditEvents); head.Seq > kept {
		from = max(from, head.Seq-kept+1)
	}
	var first *auditBatch
	for batch, err := range s.batches(ctx, name, s.space.auditEvents(name, from), 64) {
		if err != nil {
			return nil, err
		}
		if first = &batch; batch.newest().After(cutoff) {
			break
		}
	}
	if first == nil || first.Seq == head.First {
		return nil, nil
	}
	return first, nil
}

// newest is the time of a batch's last event.
func (b *auditBatch) newest() time.Time {
	var e audit.Event
	if len(b.Events) == 0 || json.Unmarshal(b.Events[len(b.Events)-1], &e) != nil {
		return time.Time{}
	}
	return e.Time
}
