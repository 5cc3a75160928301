// SPDX-License-Identifier: Apache-2.0

package images

import "context"

const (
	// maxReads bounds the reads at once, and with maxDocument the memory they take.
	maxReads = 16
	// maxReadsOfHost keeps half of them for the others when one registry hangs.
	maxReadsOfHost = 8
)

// bulkhead bounds reads, in all and of each registry.
type bulkhead struct {
	all   chan struct{}
	hosts map[string]chan struct{} // :: host as images name it; not changed
}

func newBulkhead(r registries) *bulkhead {
	b := &bulkhead{make(chan struct{}, maxReads), make(map[string]chan struct{}, len(r))}
	for host := range r {
		b.hosts[host] = make(chan struct{}, maxReadsOfHost)
	}
	return b
}

// enter waits for a place. The caller leaves it again with what it returns.
func (b *bulkhead) enter(ctx context.Context, host string) (leave func(), err error) {
	own := b.hosts[host]
	select {
	case own <- struct{}{}: // first its own, so that whoever waits for a registry that hangs holds no place of all
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case b.all <- struct{}{}:
		return func() { <-b.all; <-own }, nil
	case <-ctx.Done():
		<-own
		return nil, ctx.Err()
	}
}
