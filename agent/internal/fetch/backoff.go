// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Bounds of the pause between two tries, before what the registry asks for by Retry-After. The lower one is a few times a healthy answer; the upper one keeps
// 2,000 waiting pods under 800 requests a second (half of it on average) and a pod's start within seconds of the registry's return.
const (
	MinDelay = 50 * time.Millisecond
	MaxDelay = 5 * time.Second
)

// backoff draws pauses with decorrelated jitter: each between [MinDelay] and three times the one before it, at most [MaxDelay]. Pods that began together
// drift apart instead of returning together. The zero backoff is ready.
type backoff struct{ previous time.Duration }

func (b *backoff) next() time.Duration {
	upper := min(3*max(b.previous, MinDelay), MaxDelay)
	b.previous = MinDelay + rand.N(upper-MinDelay+1)
	return b.previous
}

// parseRetryAfter reads the header's two forms, seconds and a date; it returns 0 for what it cannot read and for the past.
func parseRetryAfter(header string, now time.Time) time.Duration {
	const longest = 24 * time.Hour // far over any deadline, far under an overflow
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longest)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), longest)
	}
	return 0
}
