// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/ratelimit"
)

// Defaults of the rate limit: more than a Console and a Terraform run behind one address need together, far less than would trouble etcd.
const (
	defaultRate  = 100 // requests per second
	defaultBurst = 400
)

func (s *server) limitRate(c *gin.Context) {
	if wait, ok := s.limiter.Take(ratelimit.Network(callOf(c.Request.Context()).source), time.Now()); !ok {
		s.limited(c, wait)
	}
}

// limitCaller limits who is known by what he is, wherever he calls from.
func (s *server) limitCaller(c *gin.Context) {
	p := callOf(c.Request.Context()).principal
	if p.Anonymous() {
		return
	}
	if wait, ok := s.callers.Take(p.String(), time.Now()); !ok {
		s.limited(c, wait)
	}
}

// limited refuses a request and says when the next one has a chance: in whole seconds, rounded up, since the header has no others.
func (s *server) limited(c *gin.Context, wait time.Duration) {
	seconds := max(1, int64(math.Ceil(wait.Seconds())))
	c.Writer.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	s.fail(c, contract.CodeRateLimited)
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
