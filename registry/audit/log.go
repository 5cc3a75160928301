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
// failed. Appends do not overlap. Append must not change events, and should return when ctx ends; while it does not, the log fails closed. After a failure,
// Append is called without events now and then: it then tells, as far as it can know, whether it would keep one.
type Sink interface {
	Name() string // a constant, for metrics and logs
	Append(ctx context.Context, events []Event) error
}

// Config says where a [Log] writes.
type Config struct {
	// Sinks must all accept an event before its Record or Journal returns.
	Sinks []Sink
	// Store must accept the events of Record, too, but not those of Journal; nil: there is none.
	Store   Sink
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
// It fails closed: when a sink refuses, hangs or is gone, Record returns an error until the sink works again, which needs nobody's help. While a sink is
// known to hang, it returns that at once: who holds a lock meanwhile must not make a queue of timeouts.
type Log struct {
	config  Config
	records chan *record
	closed  chan struct{}
	sinks   []*appender
	store   *appender // nil if there is none
	metrics metrics
}

// retryEvery is the pause between two attempts to find out whether a sink that failed works again.
const retryEvery = time.Second

// record is what one caller waits for.
type record struct {
	ctx     context.Context // ends when the caller gives up
	events  []Event
	journal bool       // the caller keeps them in the store itself
	done    chan error // holds one
}

// New returns a Log that accepts nothing until [Log.Run] runs.
func New(config Config) (*Log, error) {
	if len(config.Sinks) == 0 && config.Store == nil {
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
	if config.Store != nil {
		l.store = newAppender(config.Store)
	}
	return l, nil
}

// all are the appenders of all sinks.
func (l *Log) all() []*appender {
	if l.store == nil {
		return l.sinks
	}
	return append(l.sinks[:len(l.sinks):len(l.sinks)], l.store)
}

// Err returns why a sink outside the store did not accept the events it was last given, nil if all did. Whether the store works, the store knows better.
func (l *Log) Err() error {
	for _, s := range l.sinks {
		if err := s.failure.Load(); err != nil {
			return fmt.Errorf("audit sink %s: %w", s.sink.Name(), *err)
		}
	}
	return nil
}

// Record returns nil once every sink has accepted all events, which the caller must not change afterwards. It blocks for at most the timeout. An error
// means that the events may or may not have been kept, and that what they tell must not happen.
func (l *Log) Record(ctx context.Context, events ...Event) error {
	return l.record(ctx, &record{events: events, journal: false})
}

// Journal is Record for events that the caller will keep in the store itself, in the transaction of the act they tell of: all other sinks must accept them
// first. If the transaction then does not happen, they tell of an act that was authorized and not done.
func (l *Log) Journal(ctx context.Context, events ...Event) error {
	if len(l.sinks) == 0 {
		return nil
	}
	return l.record(ctx, &record{events: events, journal: true})
}

func (l *Log) record(ctx context.Context, r *record) error {
	for _, s := range l.sinks {
		if s.stuck.Load() {
			return fmt.Errorf("recording audit event: sink %s hangs: %w", s.sink.Name(), ErrTimeout)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.config.Timeout, ErrTimeout)
	defer cancel()
	r.ctx, r.done = ctx, make(chan error, 1)
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
	sinks := l.all()
	for _, s := range sinks {
		go s.run()
	}
	defer func() {
		close(l.closed)
		for _, s := range sinks {
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
		var retry <-chan time.Time
		if written == nil && l.Err() != nil {
			retry = time.After(retryEvery)
		}
		select {
		case r := <-intake:
			waiting = append(waiting, r)
		case <-written:
			written = nil
		case <-retry:
			written = make(chan struct{})
			go func(done chan struct{}) {
				defer close(done)
				l.retry()
			}(written)
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
	journals := 0
	for _, r := range batch {
		if r.ctx.Err() != nil { // it was refused already, and would be told of as allowed
			continue
		}
		events = append(events, r.events...)
		if r.journal {
			journals++
		}
	}
	if len(events) == 0 {
		return
	}
	stored := events // what the store is to keep
	if journals > 0 {
		stored = nil
		for _, r := range batch {
			if !r.journal && r.ctx.Err() == nil {
				stored = append(stored, r.events...)
			}
		}
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.config.Timeout, ErrTimeout)
	defer cancel()
	start := time.Now()
	outside, inside := l.spread(ctx, events, stored)
	l.metrics.batch(len(events), time.Since(start))
	both := errors.Join(outside, inside)
	for _, r := range batch {
		if r.journal {
			r.done <- outside
			continue
		}
		r.done <- both
	}
}

// spread appends events to the sinks and stored to the store, all at once.
func (l *Log) spread(ctx context.Context, events, stored []Event) (outside, inside error) {
	done := make(chan error, len(l.sinks))
	for i, s := range l.sinks {
		if i == len(l.sinks)-1 && (l.store == nil || len(stored) == 0) { // nothing else is to be done meanwhile
			done <- l.append(ctx, s, events)
			break
		}
		go func() { done <- l.append(ctx, s, events) }()
	}
	if l.store != nil && len(stored) > 0 {
		inside = l.append(ctx, l.store, stored)
	}
	for range l.sinks {
		outside = errors.Join(outside, <-done)
	}
	return outside, inside
}

// retry asks the sinks that failed whether they work again.
func (l *Log) retry() {
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.config.Timeout, ErrTimeout)
	defer cancel()
	for _, s := range l.sinks {
		if s.failure.Load() != nil {
			_ = l.append(ctx, s, nil) // said in the log when it changes
		}
	}
}

func (l *Log) append(ctx context.Context, s *appender, events []Event) error {
	err := s.append(ctx, events)
	name := s.sink.Name()
	if err == nil {
		if s.failure.Swap(nil) != nil {
			l.config.Logger.Info("audit sink accepts events again", "sink", name)
		}
		return nil
	}
	if len(events) > 0 {
		l.metrics.failed(name)
	}
	if s.failure.Swap(&err) == nil {
		l.config.Logger.Error("audit sink does not accept events", "sink", name, "err", err)
	}
	return fmt.Errorf("writing audit sink %s: %w", name, err)
}
