// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"sync/atomic"
)

// appender calls one sink from a goroutine of its own, so that a sink that hangs (a pipe nobody reads knows no context) holds up nothing else. While it
// hangs, batches time out; when it returns, the next batch goes through.
type appender struct {
	sink    Sink
	batches chan batch            // closed when the log ends
	failure atomic.Pointer[error] // of the last batch; nil if it was accepted
	stuck   atomic.Bool           // somebody gave up waiting for the Append that is still under way
}

type batch struct {
	ctx    context.Context
	events []Event
	done   chan error // holds one: nobody may be waiting any more
}

func newAppender(sink Sink) *appender {
	return &appender{sink: sink, batches: make(chan batch)}
}

func (a *appender) run() {
	for b := range a.batches {
		if err := b.ctx.Err(); err != nil {
			b.done <- err
			continue
		}
		err := a.sink.Append(b.ctx, b.events)
		b.done <- err
		a.stuck.Store(false)
	}
}

func (a *appender) append(ctx context.Context, events []Event) error {
	b := batch{ctx, events, make(chan error, 1)}
	select {
	case a.batches <- b:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		a.stuck.Store(true)
		if len(b.done) > 0 { // it returned at this moment, maybe before it was called stuck
			a.stuck.Store(false)
		}
		return context.Cause(ctx)
	}
}
