// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"sync"
)

// coalescer lets requests for one key share a read that began after each of them arrived: at most one read of a key is on the way, and all who arrive meanwhile wait together for
// the next. The zero value is ready; it is safe for concurrent use.
//
// Singleflight would be wrong here: it lets a request join a read that began before it, whose answer may be older than the request.
type coalescer struct {
	// orphaned, if set, is called with a leased document that was read for members who have all gone.
	orphaned func(Document)

	mu   sync.Mutex
	keys map[Ref]*line // :: key → what is on the way; no entry when nothing is
}

// line is a read on the way and the group that waits for the next one, which is nil while nobody does.
type line struct{ waiting *group }

// group are the requests that share one read.
type group struct {
	done    chan struct{}
	members int // guarded by coalescer.mu; 0 cancels the read, or lets it never begin
	cancel  context.CancelFunc
	ctx     context.Context
	doc     Document
	err     error
	taken   bool // guarded by coalescer.mu: a leased document has its one owner
	read    bool // guarded by coalescer.mu: doc and err are set
}

// do returns what read returned, called once for a group of requests, all of which arrived before the call. A leased document goes to one member; the others read for
// themselves. The context of read carries the values of some member's ctx but ends only when all members have gone.
func (c *coalescer) do(ctx context.Context, key Ref, read func(context.Context) (Document, error)) (doc Document, shared bool, err error) {
	g, leader := c.join(ctx, key)
	if leader {
		go c.run(key, g, read)
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		c.leave(g)
		return Document{}, false, ctx.Err()
	}
	if g.err == nil && g.doc.Leased && !c.take(g) {
		doc, err = read(ctx)
		return doc, false, err
	}
	return g.doc, !leader, g.err
}

// join adds a member to the group that reads next. The first one of a quiet key leads: its read begins now.
func (c *coalescer) join(ctx context.Context, key Ref) (g *group, leader bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, busy := c.keys[key]
	if !busy {
		if c.keys == nil {
			c.keys = make(map[Ref]*line)
		}
		c.keys[key] = &line{}
		return newGroup(ctx), true
	}
	if l.waiting == nil || l.waiting.members == 0 {
		l.waiting = newGroup(ctx)
		return l.waiting, false
	}
	l.waiting.members++
	return l.waiting, false
}

func newGroup(ctx context.Context) *group {
	g := &group{done: make(chan struct{}), members: 1}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return g
}

func (c *coalescer) leave(g *group) {
	c.mu.Lock()
	if g.members--; g.members == 0 {
		g.cancel()
	}
	orphan := c.orphanLocked(g)
	c.mu.Unlock()
	if orphan {
		c.orphaned(g.doc)
	}
}

// orphanLocked reports, once, whether the leased document of a group has nobody who could take it.
func (c *coalescer) orphanLocked(g *group) bool {
	orphan := g.read && g.members == 0 && g.err == nil && g.doc.Leased && !g.taken && c.orphaned != nil
	g.taken = g.taken || orphan
	return orphan
}

func (c *coalescer) take(g *group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !g.taken
	g.taken = true
	return first
}

// run reads for g and then for every group that came to wait meanwhile.
func (c *coalescer) run(key Ref, g *group, read func(context.Context) (Document, error)) {
	for g != nil {
		g.doc, g.err = guarded(g.ctx, read)
		g.cancel()
		close(g.done)
		c.mu.Lock()
		g.read = true
		orphan := c.orphanLocked(g)
		c.mu.Unlock()
		if orphan {
			c.orphaned(g.doc)
		}
		g = c.next(key)
	}
}

// guarded turns a panic of a provider into an error: nothing above this goroutine would recover it.
func guarded(ctx context.Context, read func(context.Context) (Document, error)) (doc Document, err error) {
	defer func() {
		if p := recover(); p != nil {
			doc, err = Document{}, &Error{Kind: KindUnavailable, Reason: ReasonServer, Message: "reading panicked"} // p may hold a value
		}
	}()
	return read(ctx)
}

// next returns the group whose read begins now, or nil and forgets the key.
func (c *coalescer) next(key Ref) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.keys[key]
	g := l.waiting
	l.waiting = nil
	if g == nil || g.members == 0 {
		delete(c.keys, key)
		return nil
	}
	return g
}
