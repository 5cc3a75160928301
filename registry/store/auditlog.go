// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// maxBatch bounds one record of audit events, in encoded bytes and number, far below etcd's request limit of 1.5 MiB. A single larger event still has a
// record of its own.
const (
	maxBatchBytes  = 256 << 10
	maxBatchEvents = 256
)

// appending is one call of AppendAudit for one chain; done receives its result.
type appending struct {
	events []audit.Event
	done   chan error // buffered
}

// AppendAudit writes events, and what they say that pods received, and returns when both are durable. What pods receive of an organization that is gone is [ErrNotFound]. Events of one organization stay in order; calls at the same time share transactions. After an
// error, some of the events may have been written.
func (s *Store) AppendAudit(ctx context.Context, events []audit.Event) error {
	byChain := make(map[string][]audit.Event)
	var order []string
	for _, e := range events {
		name := e.OrgID
		if name == "" {
			name = installation
		}
		if _, ok := byChain[name]; !ok {
			order = append(order, name)
		}
		byChain[name] = append(byChain[name], e)
	}
	for _, name := range order {
		if err := s.appendTo(ctx, name, byChain[name]); err != nil {
			return fmt.Errorf("appending audit events: %w", err)
		}
	}
	return nil
}

func (s *Store) appendTo(ctx context.Context, name string, events []audit.Event) error {
	if err := s.keyErr(); err != nil {
		return err
	}
	c := s.chain(name)
	mine := &appending{events, make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, mine)
	c.mu.Unlock()
	for {
		select {
		case err := <-mine.done: // somebody else wrote them
			return err
		case c.token <- struct{}{}:
			s.appendWaiting(name, c)
			c.unlock()
		case <-ctx.Done():
			c.mu.Lock()
			c.waiting = slices.DeleteFunc(c.waiting, func(a *appending) bool { return a == mine })
			c.mu.Unlock()
			return context.Cause(ctx)
		}
	}
}

// appendWaiting writes the events of those who wait, as many as fit one transaction, oldest first. The chain is locked. The time limit is its own: the
// context of one caller must not fail the others.
func (s *Store) appendWaiting(name string, c *chain) {
	c.mu.Lock()
	var events []audit.Event
	n := 0
	for n < len(c.waiting) && (n == 0 || len(events)+len(c.waiting[n].events) <= maxBatchEvents) {
		events = append(events, c.waiting[n].events...)
		n++
	}
	group := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	c.mu.Unlock()
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err := s.appendAll(ctx, name, events)
	for _, a := range group {
		a.done <- err
	}
}

// appendAll writes events in as few transactions as the limits of a batch allow.
func (s *Store) appendAll(ctx context.Context, name string, events []audit.Event) error {
	_, head, err := s.heads(ctx, name)
	if err != nil {
		return err
	}
	for len(events) > 0 {
		n := batchLength(events)
		if head, err = s.appendBatch(ctx, name, head, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func batchLength(events []audit.Event) int {
	size, granted := 0, 0
	for i, e := range events {
		encoded, _ := json.Marshal(e) // an error is found again, and returned, by link
		if grants(e) {
			granted++
		}
		if size += len(encoded); i > 0 && (size > maxBatchBytes || i == maxBatchEvents || granted > maxGrants) {
			return i
		}
	}
	return len(events)
}

func (s *Store) appendBatch(ctx context.Context, name string, head chainHead, events []audit.Event) (chainHead, error) {
	for range 4 * attempts { // events need no decision, so a conflict costs one round trip and another replica has moved on
		l, err := s.link(name, head, events)
		if err != nil {
			return chainHead{}, err
		}
		granted, err := s.grantOps(events)
		if err != nil {
			return chainHead{}, err
		}
		compares, otherwise := l.compares, s.headOps(name)
		if len(granted) > 0 { // no value leaves an organization that was deleted
			compares = append(compares, clientv3.Compare(clientv3.CreateRevision(s.space.org(name)), ">", 0))
			otherwise = append(otherwise, clientv3.OpGet(s.space.org(name), clientv3.WithCountOnly()))
		}
		resp, err := s.client.Txn(ctx).If(compares...).Then(append(l.ops, granted...)...).Else(otherwise...).Commit()
		if err != nil {
			return chainHead{}, etcdError(context.Background(), err)
		}
		if resp.Succeeded {
			l.head.rev = resp.Header.Revision
			return l.head, nil
		}
		if len(granted) > 0 && resp.Responses[len(otherwise)-1].GetResponseRange().Count == 0 {
			return chainHead{}, fmt.Errorf("organization: %w", ErrNotFound)
		}
		s.counters.conflicts.Add(1)
		if _, head, err = s.readHeads(name, resp); err != nil {
			return chainHead{}, err
		}
	}
	return chainHead{}, fmt.Errorf("%w: %w", ErrUnavailable, errContention)
}

// AuditQuery selects audit events.
type AuditQuery struct {
	After      string // Next of the page before
	Limit      int    // 1 to [MaxPage]; 0 means [DefaultPage]
	Action     audit.Action
	Outcome    audit.Outcome
	Actor      string
	ResourceID string
	RequestID  string
	Since      time.Time // events at or after it
	Until      time.Time // events before it
}

func (q AuditQuery) matches(e audit.Event) bool {
	return (q.Action == "" || q.Action == e.Action) &&
		(q.Outcome == "" || q.Outcome == e.Outcome) &&
		(q.Actor == "" || q.Actor == e.Actor) &&
		(q.ResourceID == "" || q.ResourceID == e.ResourceID) &&
		(q.RequestID == "" || q.RequestID == e.RequestID) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}

// AuditEvents returns events of an organization, or of the installation if orgID is "", the newest first, as far back as etcd keeps them. It returns
// [ErrIntegrity] if a record on the way does not verify.
func (s *Store) AuditEvents(ctx context.Context, orgID string, q AuditQuery) (Page[audit.Event], error) {
	name := orgID
	if name == "" {
		name = installation
	}
	if err := s.keyErr(); err != nil {
		return Page[audit.Event]{}, err
	}
	limit, err := pageSize(q.Limit)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	last, err := s.openToken(q.After, kindAudit, name, q)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	before := ^uint64(0)
	if last != "" {
		if before, err = strconv.ParseUint(last, 10, 64); err != nil {
			return Page[audit.Event]{}, errToken()
		}
	}
	page := Page[audit.Event]{}
	oldest := before
	err = s.walkAudit(ctx, name, before, func(seq uint64, e audit.Event) bool {
		if !q.matches(e) {
			return true
		}
		if len(page.Items) == limit {
			page.Next = s.token(strconv.FormatUint(oldest, 10), kindAudit, name, q)
			return false
		}
		page.Items, oldest = append(page.Items, e), seq
		return true
	})
	if err != nil {
		return Page[audit.Event]{}, fmt.Errorf("reading audit events: %w", err)
	}
	return page, nil
}

// walkAudit yields the events of a chain before a sequence number, newest first.
func (s *Store) walkAudit(ctx context.Context, name string, before uint64, yield func(uint64, audit.Event) bool) error {
	const batches = 32
	from, end := s.space.auditEvents(name, 0), s.space.auditEvents(name, before)
	for {
		limited, cancel := context.WithTimeout(ctx, readTimeout)
		resp, err := s.client.Get(limited, from, clientv3.WithRange(end), clientv3.WithLimit(batches), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
		cancel()
		if err != nil {
			return etcdError(ctx, err)
		}
		for _, kv := range resp.Kvs {
			batch, err := s.openBatch(string(kv.Key), kv.Value)
			if err != nil {
				return err
			}
			for i := len(batch.Events) - 1; i >= 0; i-- {
				seq := batch.Seq + uint64(i)
				if seq >= before {
					continue
				}
				var e audit.Event
				if err := json.Unmarshal(batch.Events[i], &e); err != nil {
					return fmt.Errorf("%w: audit event %d: %w", ErrIntegrity, seq, err)
				}
				if !yield(seq, e) {
					return nil
				}
			}
			end = string(kv.Key)
		}
		if !resp.More {
			return nil
		}
	}
}

func (s *Store) openBatch(key string, value []byte) (auditBatch, error) {
	var batch auditBatch
	if err := unseal(s.keys, key, kindAudit, value, &batch); err != nil {
		return auditBatch{}, fmt.Errorf("audit record %q: %w", key, err)
	}
	return batch, nil
}
