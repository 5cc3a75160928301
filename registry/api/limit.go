// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"
)

// maxSources bounds the limiter's memory, at about 100 bytes a source. Beyond it all new sources share one bucket: an attacker with many addresses slows
// strangers, not those who are known.
const maxSources = 16384

// limiter bounds the requests of each source, an IPv4 address or an IPv6 /64.
type limiter struct {
	rate rate.Limit
	now  func() time.Time

	mu      sync.Mutex
	swept   time.Time
	sources map[netip.Prefix]*bucket
	others  bucket
}

type bucket struct {
	*rate.Limiter
	last time.Time
}

func newLimiter(perSecond float64, now func() time.Time) *limiter {
	l := &limiter{rate: rate.Limit(perSecond), now: now, sources: map[netip.Prefix]*bucket{}}
	l.others = bucket{Limiter: l.bucket()}
	return l
}

func (l *limiter) bucket() *rate.Limiter { return rate.NewLimiter(l.rate, int(l.rate*10)) }

func (l *limiter) source(c *gin.Context) {
	if !l.allow(c.RemoteIP()) {
		refuse(c, &refusal{kind: kindRateLimited, detail: "try again after the time in Retry-After"})
	}
}

func (l *limiter) allow(address string) bool {
	now := l.now()
	source := prefix(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b, known := l.sources[source]
	if !known {
		if len(l.sources) >= maxSources {
			return l.others.AllowN(now, 1)
		}
		b = &bucket{Limiter: l.bucket()}
		l.sources[source] = b
	}
	b.last = now
	return b.AllowN(now, 1)
}

// sweep forgets, once a minute, sources whose bucket has filled up again.
func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for source, b := range l.sources {
		if now.Sub(b.last) > time.Minute {
			delete(l.sources, source)
		}
	}
}

func prefix(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
