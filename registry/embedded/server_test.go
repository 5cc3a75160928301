// SPDX-License-Identifier: Apache-2.0

package embedded_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/embedded"
)

func TestWhatWasWrittenIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	for run := range 3 {
		s, err := embedded.Start(t.Context(), dir, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Get(t.Context(), "key")
		if err != nil || len(resp.Kvs) != min(run, 1) {
			t.Errorf("run %d: %d values, %v", run, len(resp.Kvs), err)
		}
		if _, err := s.Client().Put(t.Context(), "key", "value"); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-s.Done()
	}
}

func TestADirectoryInUseIsNotOpenedTwice(t *testing.T) {
	dir := t.TempDir()
	first, err := embedded.Start(t.Context(), dir, embedded.Options{UnsafeNoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := embedded.Start(ctx, dir, embedded.Options{UnsafeNoSync: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := first.Client().Put(t.Context(), "key", "value"); err != nil {
		t.Errorf("the first one was disturbed: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}
