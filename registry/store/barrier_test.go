// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestACallerNeverSharesAReadThatBeganBeforeItArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan chan int64) // each read takes a channel and returns what comes on it
		b := barrier{read: func() (int64, error) {
			answer := make(chan int64)
			reads <- answer
			return <-answer, nil
		}}
		var wg sync.WaitGroup
		results := make([]int64, 5)
		call := func(i int) {
			wg.Go(func() { results[i], _ = b.wait(t.Context()) })
			synctest.Wait()
		}
		call(0)
		first := <-reads // under way
		for i := 1; i < 5; i++ {
			call(i)
		}
		first <- 1
		second := <-reads
		second <- 2
		wg.Wait()
		for i, got := range results {
			if want := min(int64(i)+1, 2); got != want {
				t.Errorf("caller %d got the result of read %d, want %d", i, got, want)
			}
		}
	})
}

func TestAWaitEndsWithItsContextAndDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := barrier{read: func() (int64, error) { <-release; return 7, nil }}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := b.wait(ctx); err == nil {
				t.Error("no error")
			}
		})
		wg.Go(func() {
			if rev, err := b.wait(t.Context()); rev != 7 || err != nil {
				t.Errorf("got %d, %v", rev, err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
	})
}
