// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/ratelimit"
)

func TestTakeSaysHowLongToWait(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, tc := range map[string]struct {
		rate  float64
		after time.Duration // of the refusal, since the bucket was emptied
		want  time.Duration
	}{
		"a fast one":              {4, 0, 250 * time.Millisecond},
		"a slow one":              {0.1, 0, 10 * time.Second},
		"a slow one, later":       {0.1, 4 * time.Second, 6 * time.Second},
		"one that waits for days": {1e-6, 0, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			l := ratelimit.New[string](tc.rate, 2)
			for range 2 {
				if wait, ok := l.Take("a", now); !ok || wait != 0 {
					t.Fatalf("refused within the burst: %s", wait)
				}
			}
			at := now.Add(tc.after)
			for range 3 { // asking again makes it no longer
				if wait, ok := l.Take("a", at); ok || (wait-tc.want).Abs() > time.Microsecond {
					t.Errorf("got %s, %v, want %s", wait, ok, tc.want)
				}
			}
			if tc.want < time.Hour {
				if _, ok := l.Take("a", at.Add(tc.want+time.Millisecond)); !ok {
					t.Error("refused after it has waited")
				}
			}
			if _, ok := l.Take("b", now); !ok {
				t.Error("another source waits too")
			}
		})
	}
}
