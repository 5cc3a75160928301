// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// sink is a sink that can be told to fail or to hang without regard to its context.
type sink struct {
	name string
	hold chan struct{} // each Append takes one token, if not nil

	mu      sync.Mutex
	err     error
	batches [][]audit.Event
}

func (s *sink) Name() string { return s.name }

func (s *sink) Append(_ context.Context, events []audit.Event) error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.batches = append(s.batches, events)
	return nil
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// kept returns how many events came in each batch.
func (s *sink) kept() (sizes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

// run starts a log in a bubble; stop ends it and waits.
func run(t *testing.T, config audit.Config) (log *audit.Log, stop func()) {
	t.Helper()
	log, err := audit.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- log.Run(ctx) }()
	return log, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestARecordReturnsWhenEverySinkHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast, slow := &sink{name: "fast"}, &sink{name: "slow", hold: make(chan struct{})}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{fast, slow}})
		defer stop()
		done := make(chan error, 1)
		go func() { done <- log.Record(t.Context(), audit.Event{ID: "1"}) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Record returned %v before the slow sink had it", err)
		default:
		}
		slow.hold <- struct{}{}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(fast.kept()) != 1 || len(slow.kept()) != 1 {
			t.Errorf("batches: %v and %v", fast.kept(), slow.kept())
		}
	})
}

func TestWhatArrivesDuringAnAppendSharesTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "s", hold: make(chan struct{})}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{s}, MaxBatch: 8})
		defer stop()
		var all sync.WaitGroup
		record := func(n int) {
			for range n {
				all.Go(func() {
					if err := log.Record(t.Context(), audit.Event{}); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		record(1)
		record(20)
		for range 4 {
			s.hold <- struct{}{}
			synctest.Wait()
		}
		all.Wait()
		if diff := cmp.Diff([]int{1, 8, 8, 4}, s.kept()); diff != "" {
			t.Errorf("sizes of the batches (-want +got):\n%s", diff)
		}
	})
}

func TestOneRecordIsNeverSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "s"}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{s}, MaxBatch: 2})
		defer stop()
		if err := log.Record(t.Context(), make([]audit.Event, 5)...); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{5}, s.kept()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAFailingSinkFailsTheRecordAndRecoversAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left on device")
		good, bad := &sink{name: "good"}, &sink{name: "bad", err: full}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{good, bad}})
		defer stop()
		for range 3 {
			if err := log.Record(t.Context(), audit.Event{}); !errors.Is(err, full) || !strings.Contains(err.Error(), "audit sink bad") {
				t.Errorf("Record = %v, want the sink's name and error", err)
			}
		}
		bad.fail(nil)
		if err := log.Record(t.Context(), audit.Event{}); err != nil {
			t.Errorf("after the sink recovered: %v", err)
		}
	})
}

func TestAHangingSinkFailsClosedAfterTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "s", hold: make(chan struct{})}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{s, &sink{name: "good"}}})
		defer stop()
		start := time.Now()
		var all sync.WaitGroup
		for i := range 2000 { // far more than a batch: nobody waits for those before
			all.Go(func() {
				if err := log.Record(t.Context(), audit.Event{ID: fmt.Sprint(i)}); !errors.Is(err, audit.ErrTimeout) {
					t.Errorf("Record = %v, want ErrTimeout", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		// The sink comes back: the next record goes through, and of those who were refused none is told of as allowed but those already on their way.
		if err := log.Record(t.Context(), audit.Event{ID: "meanwhile"}); !errors.Is(err, audit.ErrTimeout) || time.Since(start) != 2*time.Second {
			t.Errorf("Record while the sink is known to hang = %v after %v", err, time.Since(start))
		}
		close(s.hold)
		synctest.Wait()
		if err := log.Record(t.Context(), audit.Event{ID: "after"}); err != nil {
			t.Fatalf("after the sink came back: %v", err)
		}
		if sizes := s.kept(); len(sizes) > 3 {
			t.Errorf("batches of %v events were kept, want at most the two on their way and the one after", sizes)
		}
	})
}

func TestAFailedSinkIsAskedAgainThoughNobodyRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left on device")
		bad := &sink{name: "file", err: full}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{bad}})
		defer stop()
		if err := log.Err(); err != nil {
			t.Errorf("before anything happened: %v", err)
		}
		if err := log.Record(t.Context(), audit.Event{}); !errors.Is(err, full) {
			t.Errorf("Record = %v", err)
		}
		time.Sleep(3500 * time.Millisecond)
		if err := log.Err(); !errors.Is(err, full) || !strings.Contains(err.Error(), "audit sink file") {
			t.Errorf("Err = %v, want the sink's name and error", err)
		}
		bad.fail(nil)
		time.Sleep(time.Second)
		if err := log.Err(); err != nil {
			t.Errorf("after the sink recovered: %v", err)
		}
	})
}

func TestAJournalIsForTheSinksOutsideTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, store := &sink{name: "file", hold: make(chan struct{})}, &sink{name: "etcd"}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{file}, Store: store})
		defer stop()
		record := func(f func(context.Context, ...audit.Event) error, id string) chan error {
			done := make(chan error, 1)
			go func() { done <- f(t.Context(), audit.Event{ID: id}) }()
			synctest.Wait()
			return done
		}
		first := record(log.Journal, "1")
		second, third := record(log.Record, "2"), record(log.Journal, "3") // share a batch
		store.fail(errors.New("etcd is away"))
		file.hold <- struct{}{}
		file.hold <- struct{}{}
		if err := errors.Join(<-first, <-third); err != nil {
			t.Errorf("what is not the store's failed with it: %v", err)
		}
		if err := <-second; err == nil {
			t.Error("a record was accepted without the store")
		}
		if err := log.Err(); err != nil {
			t.Errorf("the store's failure is not the log's to tell: %v", err)
		}
		if diff := cmp.Diff([]int{1, 2}, file.kept()); diff != "" || store.kept() != nil {
			t.Errorf("batches of the store: %v, of the file:\n%s", store.kept(), diff)
		}
		file.fail(errors.New("full"))
		failing := record(log.Journal, "4")
		file.hold <- struct{}{}
		if err := <-failing; err == nil {
			t.Error("an event was journalled that the file did not accept")
		}
		close(file.hold)
	})
	synctest.Test(t, func(t *testing.T) {
		log, err := audit.New(audit.Config{Store: &sink{name: "etcd"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Journal(t.Context(), audit.Event{}); err != nil {
			t.Errorf("nobody but the store is to be told, and Journal = %v", err)
		}
	})
}

func TestACallerThatLeavesDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "s", hold: make(chan struct{})}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{s}})
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := log.Record(ctx, audit.Event{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Record = %v", err)
		}
		close(s.hold)
	})
}

func TestTheEndFlushesWhatWasTakenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{name: "s", hold: make(chan struct{})}
		log, stop := run(t, audit.Config{Sinks: []audit.Sink{s}})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := log.Record(t.Context(), audit.Event{}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		all.Go(stop)
		synctest.Wait()
		s.hold <- struct{}{}
		s.hold <- struct{}{}
		all.Wait()
		if diff := cmp.Diff([]int{1, 2}, s.kept()); diff != "" {
			t.Error(diff)
		}
		if err := log.Record(t.Context(), audit.Event{}); !errors.Is(err, audit.ErrClosed) {
			t.Errorf("Record after the end = %v, want ErrClosed", err)
		}
	})
}

func TestNothingIsAcceptedBeforeTheLogRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := audit.New(audit.Config{Sinks: []audit.Sink{&sink{name: "s"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Record(t.Context(), audit.Event{}); !errors.Is(err, audit.ErrTimeout) {
			t.Errorf("Record = %v, want ErrTimeout", err)
		}
	})
	if _, err := audit.New(audit.Config{}); err == nil {
		t.Error("a log without a sink was opened")
	}
}

func TestEventsAreLinesOfJSON(t *testing.T) {
	var out bytes.Buffer
	events := []audit.Event{
		{ID: "1", Action: audit.WorkloadResolve, Outcome: audit.Allowed, Workload: &audit.Workload{Namespace: "billing", Released: []audit.Grant{{Env: "A", Secret: "s", Version: 3}}}},
		{ID: "2", Actor: "token:<b>", Outcome: audit.Denied, Reason: "not_bound"},
	}
	if err := audit.Lines("stdout", &out).Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(events) {
		t.Fatalf("%d lines for %d events", len(lines), len(events))
	}
	for i, text := range lines {
		if !strings.HasPrefix(text, `{"audit":true,`) {
			t.Errorf("line %d lacks the mark: %s", i, text)
		}
		var got audit.Event
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events[i], got); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
	}
}

// tearing writes only a part of what it is given while its allowance lasts.
type tearing struct {
	bytes.Buffer
	allow int
}

func (w *tearing) Write(p []byte) (int, error) {
	if w.allow >= 0 {
		n, _ := w.Buffer.Write(p[:min(w.allow, len(p))])
		w.allow = -1
		return n, io.ErrShortWrite
	}
	return w.Buffer.Write(p)
}

func TestATornLineDoesNotSpoilTheNextOne(t *testing.T) {
	w := &tearing{allow: 20}
	s := audit.Lines("file", w)
	if err := s.Append(t.Context(), []audit.Event{{ID: "torn"}}); err == nil {
		t.Fatal("a short write was taken for success")
	}
	if err := s.Append(t.Context(), []audit.Event{{ID: "whole"}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(w.String(), "\n")
	if len(lines) != 3 || !json.Valid([]byte(lines[1])) || lines[2] != "" {
		t.Errorf("lines = %q, want a torn one and a whole one", lines)
	}
}

func TestEqualDenialsAreRecordedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		d := audit.NewDenials(func(_ context.Context, events ...audit.Event) error {
			for _, e := range events {
				got = append(got, e.Actor+" "+e.Reason)
			}
			return errors.New("a denial that is not recorded stays one")
		}, nil)
		one, other := audit.Event{Actor: "a", Reason: "not_bound"}, audit.Event{Actor: "b", Reason: "not_bound"}
		for range 1000 {
			d.Record(t.Context(), one, other)
		}
		time.Sleep(time.Minute)
		d.Record(t.Context(), one)
		if diff := cmp.Diff([]string{"a not_bound", "b not_bound", "a not_bound"}, got); diff != "" {
			t.Error(diff)
		}
		got = nil
		for i := range 10_000 {
			d.Record(t.Context(), audit.Event{Actor: fmt.Sprint(i)})
		}
		if len(got) > 4096 {
			t.Errorf("%d different denials went through in a minute", len(got))
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	log, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Lines("discard", io.Discard)}})
	if err != nil {
		b.Fatal(err)
	}
	go log.Run(b.Context())
	event := audit.Event{ID: "0197a2d0-6a5e-7cc3-8e0e-2d3f1c9a4b5d", Action: audit.WorkloadResolve, Workload: &audit.Workload{Released: make([]audit.Grant, 10)}}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := log.Record(b.Context(), event); err != nil {
				b.Error(err)
			}
		}
	})
}
