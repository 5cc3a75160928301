// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// leadTTL is how long a replica that vanished keeps others from its work. etcd hears of a living one every third of it.
	leadTTL = 15 * time.Second
	// leadRetry is about how often a replica asks whether the work is free.
	leadRetry = 5 * time.Second
)

// Lead runs work on one replica at a time. It waits until no other replica does the work of that name, runs it with a context that ends when this replica can no longer be sure to be alone, and
// begins anew when work returns. It returns nil when ctx ends.
//
// Being alone is good manners and no lock: a replica that was stopped for longer than the TTL may go on for a moment when it wakes. What must not happen twice is decided by a comparison in a
// transaction.
func (s *Store) Lead(ctx context.Context, name string, work func(context.Context)) error {
	for ctx.Err() == nil {
		if err := s.leadOnce(ctx, name, work); err != nil && ctx.Err() == nil {
			s.log.Debug("not leading", "work", name, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(leadRetry/2 + rand.N(leadRetry)): // spreads load
		}
	}
	return nil
}

func (s *Store) leadOnce(ctx context.Context, name string, work func(context.Context)) error {
	key := s.space.leader(name)
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if resp, err := s.client.Get(limited, key, clientv3.WithCountOnly()); err != nil || resp.Count > 0 {
		return err
	}
	granted, err := s.client.Grant(limited, int64(leadTTL/time.Second))
	if err != nil {
		return fmt.Errorf("granting etcd lease: %w", err)
	}
	defer func() {
		revoke, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = s.client.Revoke(revoke, granted.ID) // it ends by itself
	}()
	resp, err := s.client.Txn(limited).If(absent(key)).Then(clientv3.OpPut(key, "", clientv3.WithLease(granted.ID))).Commit()
	if err != nil || !resp.Succeeded {
		return err
	}
	leading, stop := context.WithCancel(ctx)
	defer stop()
	alive, err := s.client.KeepAlive(leading, granted.ID)
	if err != nil {
		return fmt.Errorf("keeping etcd lease alive: %w", err)
	}
	s.log.Info("leading", "work", name)
	go func() {
		defer stop()
		for range alive { // closed when the lease is lost or leading ends
		}
	}()
	work(leading)
	return nil
}
