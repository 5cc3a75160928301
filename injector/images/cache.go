// SPDX-License-Identifier: Apache-2.0

package images

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps what was read for a while. It is bounded, and forgets what was not used for longest first. Its methods are safe for concurrent use.
type cache struct {
	limit int

	mu      sync.Mutex               // guards the rest
	entries map[string]*list.Element // of kept
	order   *list.List               // the last used in front
}

type kept struct {
	key   string
	value any
	until time.Time
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: make(map[string]*list.Element), order: list.New()}
}

func (c *cache) get(key string) (any, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return nil, false
	}
	k := e.Value.(kept)
	if !time.Now().Before(k.until) {
		c.remove(e)
		return nil, false
	}
	c.order.MoveToFront(e)
	return k.value, true
}

// put keeps a value for some time. Nothing prolongs it: the registry's leave to read it has an end.
func (c *cache) put(key string, value any, lifetime time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.remove(e)
	}
	c.entries[key] = c.order.PushFront(kept{key, value, time.Now().Add(lifetime)})
	if c.order.Len() > c.limit {
		c.remove(c.order.Back())
	}
}

// remove must be called with mu held.
func (c *cache) remove(e *list.Element) {
	delete(c.entries, e.Value.(kept).key)
	c.order.Remove(e)
}
