// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// SessionUseGrain is how exactly the last use of a session is known: a replica writes it no more often than this.
const SessionUseGrain = time.Minute

// sessionUses says which uses of sessions are still to be written. Nothing waits for it.
type sessionUses struct {
	pending chan pendingUse

	mu    sync.Mutex
	noted map[string]time.Time // :: session id → when its use was last handed to the writer
}

type pendingUse struct {
	id    string
	rev   int64 // of the session
	lease clientv3.LeaseID
	at    time.Time
}

func (u *sessionUses) init() {
	u.pending, u.noted = make(chan pendingUse, maxPendingUses), make(map[string]time.Time)
}

// noteSessionUse hands a use to the writer, unless one that was less than [SessionUseGrain] ago is known or waits to be written.
func (s *Store) noteSessionUse(m *image, used *session, at time.Time) {
	if at.Sub(m.lastUse(used)) < SessionUseGrain {
		return
	}
	u := &s.seen
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.noted[used.ID]; ok && at.Sub(last) < SessionUseGrain {
		return
	}
	if len(u.noted) >= maxNotedUses {
		for id, last := range u.noted {
			if at.Sub(last) >= SessionUseGrain {
				delete(u.noted, id)
			}
		}
	}
	select {
	case u.pending <- pendingUse{used.ID, used.Revision, clientv3.LeaseID(used.Lease), at}:
		u.noted[used.ID] = at
	default: // the next use will be noted
	}
}

// writeSessionUses writes what is noted until ctx ends.
func (s *Store) writeSessionUses(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case use := <-s.seen.pending:
			if err := s.writeSessionUse(ctx, use); err != nil {
				s.log.Warn("last use of a session not written", "session_id", use.id, "err", err)
			}
		}
	}
}

// writeSessionUse writes only while the session exists.
func (s *Store) writeSessionUse(ctx context.Context, use pendingUse) error {
	key := s.space.sessionUse(use.id)
	sealed, err := seal(s.keys, key, kindSessionUse, use.at)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err = s.client.Txn(limited).If(exists(s.space.session(use.id), use.rev)).Then(clientv3.OpPut(key, sealed, clientv3.WithLease(use.lease))).Commit()
	return etcdError(ctx, err)
}
