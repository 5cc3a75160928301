// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// barrier coalesces linearizable reads of the tip. At most one read is under way; whoever arrives meanwhile shares the next one, because the one under way
// may have been answered before they arrived.
type barrier struct {
	read func() (int64, error)

	mu      sync.Mutex
	running bool
	next    *flight
}

// flight is one read and its result, which is set before done is closed.
type flight struct {
	done chan struct{}
	rev  int64
	err  error
}

// wait returns the result of a read that began after wait was called.
func (b *barrier) wait(ctx context.Context) (int64, error) {
	b.mu.Lock()
	if b.next == nil {
		b.next = &flight{done: make(chan struct{})}
	}
	f := b.next
	if !b.running {
		b.running = true
		go b.run()
	}
	b.mu.Unlock()
	select {
	case <-f.done:
		return f.rev, f.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (b *barrier) run() {
	for {
		b.mu.Lock()
		f := b.next
		b.next = nil
		if f == nil {
			b.running = false
		}
		b.mu.Unlock()
		if f == nil {
			return
		}
		f.rev, f.err = b.read()
		close(f.done)
	}
}

// readTip returns the revision memory must have reached to hold every mutation acknowledged so far. Memory that is ahead of etcd itself remembers what a
// restore of etcd took back, such as a binding: nothing is read from it until it was loaded anew.
func (s *Store) readTip() (int64, error) {
	s.counters.barriers.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	known := s.image().rev
	resp, err := s.client.Get(ctx, s.space.tip(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, etcdError(context.Background(), err)
	}
	if resp.Header.Revision < known {
		s.askRestart(errRestored)
		return 0, errors.Join(ErrUnavailable, errRestored)
	}
	if len(resp.Kvs) == 0 { // somebody deleted it; its revision cannot be trusted to say anything
		return resp.Header.Revision, nil
	}
	return resp.Kvs[0].ModRevision, nil
}

// Known returns the revision of etcd up to which this replica has every change in memory. It asks nobody, so that others may know of more.
func (s *Store) Known() int64 { return s.image().rev }

// fresh returns an image that holds everything acknowledged before the call.
func (s *Store) fresh(ctx context.Context) (*image, error) {
	if err := s.keyErr(); err != nil {
		return nil, err
	}
	rev, err := s.barrier.wait(ctx)
	if err != nil {
		return nil, err
	}
	return s.reach(ctx, rev)
}

// reach waits for the image to be at rev. A watch that is late by a second is replaced; one that is late by readTimeout makes the read fail.
func (s *Store) reach(ctx context.Context, rev int64) (*image, error) {
	if m := s.image(); m.rev >= rev {
		return m, nil
	}
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	impatience := time.AfterFunc(readTimeout/2, func() { s.askRestart(errReplaced) })
	defer impatience.Stop()
	m, err := s.await(limited, rev)
	if err != nil && ctx.Err() == nil {
		return nil, errors.Join(ErrUnavailable, err)
	}
	return m, err
}

func (s *Store) askRestart(why error) {
	select {
	case s.restart <- why:
	default: // asked already
	}
}
