// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"iter"
	"sync"

	"github.com/lanyard-dev/lanyard/pkg/ref"
)

// ConsumerChange tells the state of one consumer, or that everything was told.
type ConsumerChange struct {
	Ref      ref.Consumer
	OrgID    string
	Consumer *Consumer // nil: it was deleted. Shared: not to be changed
	Synced   bool      // everything that existed in the beginning was told; no other field is set
	// View is as of the change, for the versions the consumer refers to. Nil with Synced.
	View *View
}

// WatchConsumers yields every consumer, then one change with Synced, then each consumer that changes, or whose secrets changed such that what is known of
// their values may differ. It ends when ctx ends or the loop does. States in between may be left out if the loop is slow; the last one never is. It waits
// for no quorum: it tells what this replica has seen.
func (s *Store) WatchConsumers(ctx context.Context) iter.Seq[ConsumerChange] {
	return func(yield func(ConsumerChange) bool) {
		sub := &subscriber{wake: make(chan struct{}, 1)}
		sub.touch(nil)
		s.mu.Lock()
		s.subscribers[sub] = struct{}{}
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			delete(s.subscribers, sub)
			s.mu.Unlock()
		}()
		told := make(map[consumerKey]ref.Consumer)
		synced := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-sub.wake:
			}
			if s.keyErr() != nil {
				continue // the next image comes with the key; until then consumers must not look deleted
			}
			if !s.tell(sub, told, yield) {
				return
			}
			if !synced {
				synced = true
				if !yield(ConsumerChange{Synced: true}) {
					return
				}
			}
		}
	}
}

// tell yields what changed since the last time and reports whether to go on.
func (s *Store) tell(sub *subscriber, told map[consumerKey]ref.Consumer, yield func(ConsumerChange) bool) bool {
	dirty, all := sub.take()
	m := s.image() // after take: what is published from here on is taken next time
	if all {
		dirty = make(map[consumerKey]struct{})
		for key := range told {
			dirty[key] = struct{}{}
		}
		m.consumers.Ascend(func(c *Consumer) bool {
			dirty[consumerKey{c.OrgID, c.ID}] = struct{}{}
			return true
		})
	}
	view := &View{s, m}
	for key := range dirty {
		before, known := told[key]
		c, err := m.consumer(s.space, key.org, key.id)
		var now ref.Consumer
		if err == nil {
			if o, err := m.org(s.space, key.org); err == nil {
				now = ref.Consumer{Org: o.Slug, Name: c.Name}
			}
		}
		if known && now != before {
			delete(told, key)
			if !yield(ConsumerChange{Ref: before, OrgID: key.org, View: view}) {
				return false
			}
		}
		if now != (ref.Consumer{}) {
			told[key] = now
			if !yield(ConsumerChange{Ref: now, OrgID: key.org, Consumer: c, View: view}) {
				return false
			}
		}
	}
	return true
}

// subscriber collects what one loop has to look at. It never holds up the writer and never grows beyond the number of consumers.
type subscriber struct {
	wake chan struct{}

	mu    sync.Mutex
	all   bool
	dirty map[consumerKey]struct{}
}

// touch adds consumers, all of them if keys is nil.
func (sub *subscriber) touch(keys map[consumerKey]struct{}) {
	if keys != nil && len(keys) == 0 {
		return
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if keys == nil {
		sub.all, sub.dirty = true, nil
	}
	for key := range keys {
		if sub.dirty == nil {
			sub.dirty = make(map[consumerKey]struct{})
		}
		sub.dirty[key] = struct{}{}
	}
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

func (sub *subscriber) take() (dirty map[consumerKey]struct{}, all bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	dirty, all = sub.dirty, sub.all
	sub.dirty, sub.all = nil, false
	return dirty, all
}
