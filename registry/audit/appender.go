// SPDX-License-Identifier: Apache-2.0

package audit

import "context"

// appender calls one sink from a goroutine of its own, so that a sink that hangs (a pipe nobody reads knows no context) holds up nothing else. While it
// hangs, batches time out; when it returns, the next batch goes through.
type appender struct {
	sink    Sink
	batches chan batch // closed when the log ends
	healthy bool       // as the log was last told; only touched by Log.append, one batch after the other
}

type batch struct {
	ctx    context.Context
	events []Event
	done   chan error // holds one: nobody may be waiting any more
}

func newAppender(sink Sink) *appender {
	return &appender{sink: sink, batches: make(chan batch), healthy: true}
}

func (a *appender) run() {
	for b := range a.batches {
		if err := b.ctx.Err(); err != nil {
			b.done <- err
			continue
		}
		b.done <- a.sink.Append(b.ctx, b.events)
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
		return context.Cause(ctx)
	}
}
