// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Errors of [Log.Record]. In each case the caller must not go on with the act.
var (
	ErrTimeout = errors.New("audit record not accepted in time")
	ErrClosed  = errors.New("audit log is closed")
)

// Sink keeps events. Append returns nil only when it has kept all of them as durably as it ever will; an event may be kept twice, or kept although Append
// failed. Appends do not overlap. Append must not change events, and should return when ctx ends; while it does not, the log fails closed.
type Sink interface {
	Name() string // a constant, for metrics and logs
	Append(ctx context.Context, events []Event) error
}

// Config says where a [Log] writes.
type Config struct {
	// Sinks must all accept an event before its Record returns.
	Sinks   []Sink
	Timeout time.Duration // of one Record, and of one Append; 2 s if 0
	// MaxBatch is how many events go into one Append unless a single Record brings more; 256 if 0, which keeps a batch of resolves of ten ENVs under etcd's
	// limit of 1.5 MiB a request.
	MaxBatch   int
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil exports no metrics
}

// Log is the way to all sinks. Concurrent records share one Append: a batch is whatever arrived while the one before it was being written, so that nobody
// waits for a timer and a slow sink gets large batches.
//
// It fails closed: when a sink refuses, hangs or is gone, Record returns an error until the sink works again, which needs nobody's help.
type Log struct {
	config  Config
	records chan *record
	closed  chan struct{}
	sinks   []*appender
	metrics metrics
}

// record is what one caller waits for.
type record struct {
	ctx    context.Context // ends when the caller gives up
	events []Event
	done   chan error // holds one
}

// New returns a Log that accepts nothing until [Log.Run] runs.
func New(config Config) (*Log, error) {
	if len(config.Sinks) == 0 {
		return nil, errors.New("opening audit log: no sink is configured")
	}
	config.Timeout = cmp.Or(config.Timeout, 2*time.Second)
	config.MaxBatch = cmp.Or(config.MaxBatch, 256)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{config: config, records: make(chan *record), closed: make(chan struct{}), metrics: newMetrics(config.Registerer)}
	for _, sink := range config.Sinks {
		l.sinks = append(l.sinks, newAppender(sink))
	}
	return l, nil
}

// Record returns nil once every sink has accepted all events, which the caller must not change afterwards. It blocks for at most the timeout. An error
// means that the events may or may not have been kept, and that what they tell must not happen.
func (l *Log) Record(ctx context.Context, events ...Event) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.config.Timeout, ErrTimeout)
	defer cancel()
	r := &record{ctx: ctx, events: events, done: make(chan error, 1)}
	select {
	case l.records <- r:
	case <-l.closed:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("recording audit event: %w", context.Cause(ctx))
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("recording audit event: %w", context.Cause(ctx))
	}
}

// Run writes what is recorded until ctx ends; then it refuses new records, finishes the batch at hand and returns nil. Whoever records must have stopped
// before, or sees its records refused.
func (l *Log) Run(ctx context.Context) error {
	for _, s := range l.sinks {
		go s.run()
	}
	defer func() {
		close(l.closed)
		for _, s := range l.sinks {
			close(s.batches)
		}
	}()
	var (
		waiting []*record     // for the next batch
		written chan struct{} // closed when the batch under way is done
	)
	for {
		// While a batch is being written, records gather; no more than a batch of them, so that the others wait in their own Record with their own timeout.
		intake := l.records
		if count(waiting) >= l.config.MaxBatch {
			intake = nil
		}
		if written == nil && len(waiting) > 0 {
			waiting = l.gather(waiting)
			batch := waiting
			waiting, written = nil, make(chan struct{})
			go func(done chan struct{}) {
				defer close(done)
				l.write(batch)
			}(written)
			continue
		}
		select {
		case r := <-intake:
			waiting = append(waiting, r)
		case <-written:
			written = nil
		case <-ctx.Done():
			if written != nil {
				<-written
			}
			if len(waiting) > 0 {
				l.write(waiting)
			}
			return nil
		}
	}
}

// gather adds to a batch those who wait at this moment.
func (l *Log) gather(batch []*record) []*record {
	for n := count(batch); n < l.config.MaxBatch; {
		select {
		case r := <-l.records:
			batch = append(batch, r)
			n += len(r.events)
		default:
			return batch
		}
	}
	return batch
}

func count(batch []*record) int {
	n := 0
	for _, r := range batch {
		n += len(r.events)
	}
	return n
}

// write hands one batch to all sinks at once and tells its records how it went. It takes no longer than the timeout.
func (l *Log) write(batch []*record) {
	events := make([]Event, 0, count(batch))
	for _, r := range batch {
		if r.ctx.Err() == nil { // else it was refused already, and would be told of as allowed
			events = append(events, r.events...)
		}
	}
	if len(events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.config.Timeout, ErrTimeout)
	defer cancel()
	start := time.Now()
	done := make(chan error, len(l.sinks))
	for _, s := range l.sinks {
		if len(l.sinks) == 1 {
			done <- l.append(ctx, s, events)
			break
		}
		go func() { done <- l.append(ctx, s, events) }()
	}
	var failed error
	for range l.sinks {
		failed = errors.Join(failed, <-done)
	}
	l.metrics.batch(len(events), time.Since(start))
	for _, r := range batch {
		r.done <- failed
	}
}

func (l *Log) append(ctx context.Context, s *appender, events []Event) error {
	err := s.append(ctx, events)
	switch name := s.sink.Name(); {
	case err != nil:
		l.metrics.failed(name)
		if s.healthy {
			l.config.Logger.Error("audit sink does not accept events", "sink", name, "err", err)
		}
		s.healthy = false
		return fmt.Errorf("writing audit sink %s: %w", name, err)
	case !s.healthy:
		l.config.Logger.Info("audit sink accepts events again", "sink", name)
		s.healthy = true
	}
	return nil
}
