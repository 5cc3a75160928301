// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
)

// Defaults of the rate limit: more than a Console and a Terraform run behind one address need together, far less than would trouble etcd.
const (
	defaultRate  = 100 // requests per second
	defaultBurst = 400
)

// maxSources bounds the memory for addresses: 4,096 of about 200 bytes.
const maxSources = 4096

// limiter gives each source, or each caller, a bucket. When there are too many sources, idle ones are forgotten; new ones that find no room share one bucket, so that nobody
// gets a fresh bucket, or takes away another's, by coming from many addresses.
type limiter[K comparable] struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	sources map[K]*rate.Limiter
	others  *rate.Limiter
	swept   time.Time
}

func newLimiter[K comparable](perSecond float64, burst int) *limiter[K] {
	return &limiter[K]{
		rate: rate.Limit(perSecond), burst: burst,
		sources: make(map[K]*rate.Limiter),
		others:  rate.NewLimiter(rate.Limit(perSecond), burst),
	}
}

func (l *limiter[K]) allow(source K, now time.Time) bool {
	l.mu.Lock()
	bucket := l.bucket(source, now)
	l.mu.Unlock()
	return bucket.AllowN(now, 1)
}

func (l *limiter[K]) bucket(source K, now time.Time) *rate.Limiter {
	if bucket, ok := l.sources[source]; ok {
		return bucket
	}
	if len(l.sources) >= maxSources && now.Sub(l.swept) > time.Second {
		l.swept = now
		for s, bucket := range l.sources {
			if bucket.TokensAt(now) >= float64(l.burst) { // as good as new
				delete(l.sources, s)
			}
		}
	}
	if len(l.sources) >= maxSources {
		return l.others
	}
	bucket := rate.NewLimiter(l.rate, l.burst)
	l.sources[source] = bucket
	return bucket
}

// network is what one party can have many addresses of: a single IPv4 address, a /64 of IPv6.
func network(source string) netip.Prefix {
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

func (s *server) limitRate(c *gin.Context) {
	if !s.limiter.allow(network(callOf(c.Request.Context()).source), time.Now()) {
		s.fail(c, contract.CodeRateLimited)
	}
}

// limitCaller limits who is known by what he is, wherever he calls from.
func (s *server) limitCaller(c *gin.Context) {
	if p := callOf(c.Request.Context()).principal; !p.Anonymous() && !s.callers.allow(p.String(), time.Now()) {
		s.fail(c, contract.CodeRateLimited)
	}
}

// limitBody caps what can be read of the body, and refuses at once what announces more. It reads nothing.
func (s *server) limitBody(c *gin.Context) {
	limit := int64(maxBody)
	if op := callOf(c.Request.Context()).operation; op != nil {
		limit = op.bodyLimit
	}
	if c.Request.ContentLength > limit {
		s.fail(c, contract.CodeTooLarge)
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
}
