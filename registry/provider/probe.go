// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// probes bounds the background checks that are on the way at once. Silent servers hold one each for the timeout of a fetch; the round then takes longer, and nothing else waits.
const probes = 8

// probe checks every provider about once in the health interval, one after the other and spread over it, until ctx ends. Providers that a read has just succeeded at, or that asked for
// fewer requests, are left alone.
func (m *Manager) probe(ctx context.Context) {
	interval := m.config.HealthInterval
	if interval <= 0 {
		return
	}
	slots := make(chan struct{}, probes)
	var checks sync.WaitGroup
	defer checks.Wait()
	for {
		keys, err := m.config.Records.All(ctx)
		if err != nil {
			m.config.Log.Debug("providers not listed", "err", err)
		} else {
			m.healths.keep(keys)
		}
		if len(keys) == 0 && !pause(ctx, interval) {
			return
		}
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, k := range keys {
			if !pause(ctx, interval/time.Duration(len(keys))) {
				return
			}
			if !m.due(id{k.OrgID, k.ProviderID}) {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			checks.Go(func() {
				defer func() { <-slots }()
				_ = m.Check(ctx, k.OrgID, k.ProviderID) // what it found is in the health
			})
		}
	}
}

// pause waits for half of d to one and a half, so that replicas drift apart; false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d+1)) // spreads load; nobody gains by guessing it
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (m *Manager) due(key id) bool {
	if last := m.healths.get(key).LastSuccessAt; !last.IsZero() && time.Since(last) < m.config.HealthInterval/2 {
		return false
	}
	m.mu.Lock()
	o := m.opened[key]
	m.mu.Unlock()
	return o == nil || !o.gate.resting(time.Now())
}
