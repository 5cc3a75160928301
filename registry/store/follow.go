// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

var (
	errStalled   = errors.New("watch is silent")
	errReplaced  = errors.New("watch is behind")
	errRestored  = errors.New("etcd is at an earlier revision than memory")
	errCompacted = errors.New("watch begins before the compacted revision")
	errEnded     = errors.New("watch ended")
)

// follow keeps the image up to date until ctx ends.
func (s *Store) follow(ctx context.Context) error {
	const shortest, longest = 20 * time.Millisecond, 2 * time.Second
	pause := shortest
	for {
		began := time.Now()
		err := s.watch(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.counters.restarts.Add(1)
		s.log.Warn("watch of etcd restarts", "err", err, "revision", s.image().rev)
		if errors.Is(err, errCompacted) || errors.Is(err, errRestored) {
			if err := s.reload(ctx); err != nil {
				s.log.Warn("full read of etcd did not complete", "err", err)
			}
		}
		if time.Since(began) > 2*longest {
			pause = shortest
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, longest)
	}
}

// watch applies changes until something is wrong, which it returns.
func (s *Store) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// The client multiplexes watches with equal metadata over one gRPC stream. A stream of its own can be replaced when it hangs, and answers requests for
	// progress for this watch alone.
	ctx = metadata.AppendToOutgoingContext(ctx, "lanyard-watch", uuid.NewString())

	from, to := s.space.watched()
	// It begins with the revision that is there already, not the next one: etcd reports no progress to a watch whose first revision is in the future.
	changes := s.client.Watch(ctx, from, clientv3.WithRange(to), clientv3.WithRev(max(s.image().rev, 1)), clientv3.WithCreatedNotify(), clientv3.WithProgressNotify())
	go s.askProgress(ctx)

	silent := time.NewTimer(silence)
	defer silent.Stop()
	for {
		select {
		case resp, ok := <-changes:
			switch {
			case !ok:
				return errEnded
			case resp.CompactRevision != 0:
				return errCompacted
			case resp.Err() != nil:
				return resp.Err()
			}
			silent.Reset(silence)
			s.contact.Store(time.Now().UnixNano())
			s.apply(resp)
		case why := <-s.restart:
			return why
		case <-silent.C:
			return errStalled
		}
	}
}

// askProgress makes a healthy watch say something even if nothing changes. It runs beside the watch because asking blocks when the stream hangs.
func (s *Store) askProgress(ctx context.Context) {
	_ = every(ctx, silence/4, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, silence/4)
		defer cancel()
		_ = s.client.RequestProgress(ctx) // silence is the symptom that counts
	})
}

// apply publishes the image after the changes of a response. etcd sends all changes of one revision in one response, so an image never shows half a
// transaction.
func (s *Store) apply(resp clientv3.WatchResponse) {
	s.following.Lock()
	defer s.following.Unlock()
	old := s.image()
	if len(resp.Events) == 0 {
		if resp.IsProgressNotify() && resp.Header.Revision > old.rev {
			next := *old // trees may be shared: nothing in them changes
			next.rev = resp.Header.Revision
			s.publish(&next, map[namedKey]struct{}{})
		}
		return
	}
	e := newEdit(old.clone(), s.keys, s.space)
	for _, event := range resp.Events {
		kv := event.Kv
		if kv.ModRevision <= old.rev { // the first revision of a watch, or a reload was faster: no part of what it saw may be undone
			continue
		}
		if event.Type == clientv3.EventTypeDelete {
			e.del(string(kv.Key), kv.ModRevision)
		} else {
			e.put(string(kv.Key), kv.Value, kv.ModRevision)
		}
		e.rev = max(e.rev, kv.ModRevision)
	}
	s.report(e)
	s.publish(e.image, e.touched)
}

// reload replaces the image with what etcd holds now, read page by page at one revision.
func (s *Store) reload(ctx context.Context) error {
	s.following.Lock()
	defer s.following.Unlock()
	s.counters.reloads.Add(1)
	e := newEdit(newImage(), s.keys, s.space)
	rev, err := s.scan(ctx, 0, false, func(kv keyValue) { e.put(kv.key, kv.value, kv.rev) })
	if err != nil {
		return err
	}
	e.rev = rev
	e.finish()
	s.report(e)
	s.publish(e.image, nil)
	return nil
}

// report logs and counts what an edit found wrong.
func (s *Store) report(e *edit) {
	for _, f := range e.failures {
		s.counters.integrity.Add(1)
		s.log.Error("record does not verify", "key", f.key, "err", f.err)
	}
	if e.stale > 0 {
		s.counters.reconciled.Add(int64(e.stale))
		s.log.Error("watch went back in time", "changes", e.stale)
	}
}

// reconcileOnce compares the image with etcd at the same revision, and reloads it if they differ. Watches have lost events before.
func (s *Store) reconcileOnce(ctx context.Context) {
	m := s.image()
	found, wrong := 0, 0
	_, err := s.scan(ctx, m.rev, true, func(kv keyValue) {
		a, ok := s.space.parse(kv.key)
		if !ok || a.kind == kindSchema || a.kind == kindKeyCheck || a.kind == kindTip {
			return
		}
		found++
		if rev, _ := m.revision(kv.key, a); rev != kv.rev {
			wrong++
		}
	})
	switch {
	case errors.Is(err, rpctypes.ErrFutureRev): // etcd was restored to what it was before
		wrong++
	case err != nil:
		s.log.Warn("reconciliation did not complete", "err", err)
		return
	}
	wrong += max(0, m.size()-found)
	if wrong == 0 {
		return
	}
	s.counters.reconciled.Add(int64(wrong))
	s.log.Error("memory differed from etcd", "keys", wrong, "revision", m.rev)
	if err := s.reload(ctx); err != nil {
		s.log.Warn("full read of etcd did not complete", "err", err)
		return
	}
	s.askRestart(errReplaced) // a watch that lost something is not to be trusted with the rest
}
