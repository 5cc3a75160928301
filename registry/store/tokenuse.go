// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TokenUseGrain is how exactly the last use of an API token is known: a replica writes it no more often than this.
const TokenUseGrain = 5 * time.Minute

const (
	maxPendingUses = 64   // uses that wait to be written; more are dropped, and noted at the next use
	maxNotedUses   = 4096 // tokens whose last write is remembered before old ones are forgotten
)

// tokenUses says which uses of tokens are still to be written. Nothing waits for it.
type tokenUses struct {
	pending chan APIToken

	mu    sync.Mutex
	noted map[string]time.Time // :: token id → when its use was last handed to the writer
}

func (u *tokenUses) init() {
	u.pending, u.noted = make(chan APIToken, maxPendingUses), make(map[string]time.Time)
}

// noteTokenUse hands a use to the writer, unless the one before it was less than [TokenUseGrain] ago.
func (s *Store) noteTokenUse(t APIToken) {
	u, at := &s.uses, now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.noted[t.ID]; ok && at.Sub(last) < TokenUseGrain {
		return
	}
	if len(u.noted) >= maxNotedUses {
		for id, last := range u.noted {
			if at.Sub(last) >= TokenUseGrain {
				delete(u.noted, id)
			}
		}
	}
	t.LastUsedAt = &at
	select {
	case u.pending <- t:
		u.noted[t.ID] = at
	default:
	}
}

// writeTokenUses writes what is noted until ctx ends.
func (s *Store) writeTokenUses(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case t := <-s.uses.pending:
			if err := s.writeTokenUse(ctx, t); err != nil {
				s.log.Warn("last use of an API token not written", "token_id", t.ID, "err", err)
			}
		}
	}
}

// writeTokenUse writes beside the token, so that a use changes neither the token's ETag nor anything that is watched, and only while the token exists.
func (s *Store) writeTokenUse(ctx context.Context, t APIToken) error {
	key := s.space.tokenUse(t.OrgID, t.ID)
	sealed, err := seal(s.keys, key, kindTokenUse, t.LastUsedAt)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err = s.client.Txn(limited).If(exists(s.space.apiToken(t.OrgID, t.Name), t.Revision)).Then(clientv3.OpPut(key, sealed)).Commit()
	return etcdError(ctx, err)
}

// setTokenUses sets LastUsedAt as far as it is known. Not knowing is no reason to fail.
func (s *Store) setTokenUses(ctx context.Context, orgID string, tokens []APIToken) {
	prefix := s.space.tokenUses(orgID)
	options := []clientv3.OpOption{clientv3.WithPrefix()}
	if len(tokens) == 1 {
		prefix, options = s.space.tokenUse(orgID, tokens[0].ID), nil
	}
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := s.client.Get(limited, prefix, options...)
	if err != nil {
		s.log.Warn("last use of API tokens not read", "err", err)
		return
	}
	used := make(map[string]time.Time, len(resp.Kvs)) // :: token id → when
	for _, kv := range resp.Kvs {
		key := string(kv.Key)
		var at time.Time
		if unseal(s.keys, key, kindTokenUse, kv.Value, &at) == nil {
			used[strings.TrimPrefix(key, s.space.tokenUses(orgID))] = at
		}
	}
	for i := range tokens {
		if at, ok := used[tokens[i].ID]; ok {
			tokens[i].LastUsedAt = &at
		}
	}
}
