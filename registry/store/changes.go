// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/lanyard-dev/lanyard/pkg/ref"
)

// NamesChange tells the state of one consumer or of one secret that pods may refer to, or that everything was told.
type NamesChange struct {
	OrgID    string
	Ref      ref.Consumer // of a consumer; zero for a secret
	Consumer *Consumer    // nil: it was deleted. Shared: not to be changed
	Secret   ref.Secret   // of a secret, without a version; zero for a consumer
	Granted  *Secret      // nil: it was deleted, or nobody of the cluster may refer to it any more. Shared: not to be changed
	Synced   bool         // everything that existed in the beginning was told; no other field is set
	// View is as of the change, for the versions that resolve. Nil with Synced.
	View *View
}

// WatchNames yields every consumer and every secret with a grant in the cluster, then one change with Synced, then each that changes, or whose secrets changed such
// that what is known of their values may differ. It ends when ctx ends or the loop does. States in between may be left out if the loop is slow; the last one
// never is. It waits for no quorum: it tells what this replica has seen.
func (s *Store) WatchNames(ctx context.Context, cluster string) iter.Seq[NamesChange] {
	return func(yield func(NamesChange) bool) {
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
		teller := teller{store: s, cluster: cluster, yield: yield, told: make(map[namedKey]name)}
		synced := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-sub.wake:
			}
			if s.keyErr() != nil {
				continue // the next image comes with the key; until then nothing must look deleted
			}
			if !teller.tell(sub.take()) {
				return
			}
			if !synced {
				synced = true
				if !yield(NamesChange{Synced: true}) {
					return
				}
			}
		}
	}
}

// name is what something is called, <organization>/<name>.
type name struct{ org, name string }

// teller tells one loop what changed.
type teller struct {
	store   *Store
	cluster string
	yield   func(NamesChange) bool
	told    map[namedKey]name // what exists, as the loop knows it
}

// tell yields what changed since the last time and reports whether to go on. The image is read after the keys were taken: what is published from here on is
// taken next time.
func (t *teller) tell(dirty map[namedKey]struct{}, all bool) bool {
	m := t.store.image()
	if all {
		dirty = t.everything(m)
	}
	view := &View{t.store, m}
	for key := range dirty {
		before, known := t.told[key]
		change := NamesChange{OrgID: key.org, View: view}
		now := t.find(m, key, &change)
		if known && now != before {
			delete(t.told, key)
			if !t.yield(key.change(before, NamesChange{OrgID: key.org, View: view})) {
				return false
			}
		}
		if now != (name{}) {
			t.told[key] = now
			if !t.yield(key.change(now, change)) {
				return false
			}
		}
	}
	return true
}

// everything is what was told and what exists.
func (t *teller) everything(m *image) map[namedKey]struct{} {
	keys := make(map[namedKey]struct{})
	for key := range t.told {
		keys[key] = struct{}{}
	}
	m.consumers.Ascend(func(c *Consumer) bool {
		keys[namedKey{kindConsumer, c.OrgID, c.ID}] = struct{}{}
		return true
	})
	m.secrets.Ascend(func(s *Secret) bool {
		if len(s.Grants) > 0 {
			keys[namedKey{kindSecret, s.OrgID, s.ID}] = struct{}{}
		}
		return true
	})
	return keys
}

// find puts what key stands for into change, and returns what it is called. The name is zero if there is nothing to tell of.
func (t *teller) find(m *image, key namedKey, change *NamesChange) name {
	o, err := m.org(t.store.space, key.org)
	if err != nil {
		return name{}
	}
	if key.kind == kindConsumer {
		c, err := m.consumer(t.store.space, key.org, key.id)
		if err != nil {
			return name{}
		}
		change.Consumer = c
		return name{o.Slug, c.Name}
	}
	s, err := m.secret(t.store.space, key.org, key.id)
	if err != nil || s.DeletedAt != nil || !slices.ContainsFunc(s.Grants, func(b Binding) bool { return b.Cluster == t.cluster }) {
		return name{}
	}
	change.Granted = s
	return name{o.Slug, s.Name}
}

// change sets the name in a change.
func (k namedKey) change(n name, c NamesChange) NamesChange {
	if k.kind == kindConsumer {
		c.Ref = ref.Consumer{Org: n.org, Name: n.name}
	} else {
		c.Secret = ref.Secret{Org: n.org, Name: n.name}
	}
	return c
}

// subscriber collects what one loop has to look at. It never holds up the writer and never grows beyond the number of consumers and granted secrets.
type subscriber struct {
	wake chan struct{}

	mu    sync.Mutex
	all   bool
	dirty map[namedKey]struct{}
}

// touch adds keys, all there are if keys is nil.
func (sub *subscriber) touch(keys map[namedKey]struct{}) {
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
			sub.dirty = make(map[namedKey]struct{})
		}
		sub.dirty[key] = struct{}{}
	}
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

func (sub *subscriber) take() (dirty map[namedKey]struct{}, all bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	dirty, all = sub.dirty, sub.all
	sub.dirty, sub.all = nil, false
	return dirty, all
}
