// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// published is the newest image and those who wait for a newer one.
type published struct {
	current atomic.Pointer[image]

	mu          sync.Mutex
	changed     chan struct{} // closed when current is replaced
	subscribers map[*subscriber]struct{}
}

func (p *published) init(m *image) {
	p.changed = make(chan struct{})
	p.subscribers = make(map[*subscriber]struct{})
	p.current.Store(m)
}

func (p *published) image() *image { return p.current.Load() }

// publish replaces the image. touched are the objects subscribers must look at again; all of them if nil.
func (p *published) publish(m *image, touched map[namedKey]struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.Store(m)
	close(p.changed)
	p.changed = make(chan struct{})
	for sub := range p.subscribers {
		sub.touch(touched)
	}
}

// await returns an image at rev or later.
func (p *published) await(ctx context.Context, rev int64) (*image, error) {
	for {
		if m := p.image(); m.rev >= rev {
			return m, nil
		}
		p.mu.Lock()
		m, changed := p.image(), p.changed
		p.mu.Unlock()
		if m.rev >= rev {
			return m, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for revision %d: %w", rev, context.Cause(ctx))
		}
	}
}
