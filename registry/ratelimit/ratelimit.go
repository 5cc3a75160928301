// SPDX-License-Identifier: Apache-2.0

// Package ratelimit gives each of many sources a budget, in bounded memory, on one replica.
package ratelimit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// MaxSources bounds the memory for addresses: 4,096 of about 200 bytes.
const MaxSources = 4096

// Limiter gives each source, or each caller, a bucket. When there are too many sources, idle ones are forgotten; new ones that find no room share one bucket, so that nobody
// gets a fresh bucket, or takes away another's, by coming from many addresses.
type Limiter[K comparable] struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	sources map[K]*rate.Limiter
	others  *rate.Limiter
	swept   time.Time
}

// New returns a limiter of so many a second for each source, and burst at once.
func New[K comparable](perSecond float64, burst int) *Limiter[K] {
	return &Limiter[K]{
		rate: rate.Limit(perSecond), burst: burst,
		sources: make(map[K]*rate.Limiter),
		others:  rate.NewLimiter(rate.Limit(perSecond), burst),
	}
}

// Allow reports whether a source may do one thing more now.
func (l *Limiter[K]) Allow(source K, now time.Time) bool {
	_, ok := l.Take(source, now)
	return ok
}

// Take is Allow, and says of a source that may not how long it has to do nothing until it may. Refusals cost it nothing.
func (l *Limiter[K]) Take(source K, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	bucket := l.bucket(source, now)
	l.mu.Unlock()
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	missing := max(0, 1-bucket.TokensAt(now))
	return time.Duration(min(missing/float64(l.rate), maxWait.Seconds()) * float64(time.Second)), false
}

// maxWait is the longest wait that is told: an hour, whatever the rate.
const maxWait = time.Hour

func (l *Limiter[K]) bucket(source K, now time.Time) *rate.Limiter {
	if bucket, ok := l.sources[source]; ok {
		return bucket
	}
	if len(l.sources) >= MaxSources && now.Sub(l.swept) > time.Second {
		l.swept = now
		for s, bucket := range l.sources {
			if bucket.TokensAt(now) >= float64(l.burst) { // as good as new
				delete(l.sources, s)
			}
		}
	}
	if len(l.sources) >= MaxSources {
		return l.others
	}
	bucket := rate.NewLimiter(l.rate, l.burst)
	l.sources[source] = bucket
	return bucket
}

// Network is what one party can have many addresses of: a single IPv4 address, a /64 of IPv6.
func Network(source string) netip.Prefix {
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits)
	return p
}
