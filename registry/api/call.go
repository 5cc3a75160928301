// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// requestTimeout bounds the work for one request. It is shorter than the listener's write timeout, so that the caller is told.
const requestTimeout = 12 * time.Second

// call is what is known of a request. One goroutine uses it.
type call struct {
	id        string
	source    string     // IP address of the peer
	operation *operation // nil where no route matched
	principal authz.Principal
	orgID     string      // the organization a caller who is no administrator was admitted to
	unsure    error       // why the caller could not be authenticated, although it may have a valid credential
	once      *store.Once // what the request's Idempotency-Key asks for; nil if it has none
	// What the log says of the answer: its code if it is a problem, and the cause, if that is of interest to an operator.
	code contract.Code
	err  error
}

// act is what the store records of a change.
func (c *call) act() store.Act {
	return store.Act{Actor: c.principal.String(), RequestID: c.id, SourceIP: c.source, Once: c.once}
}

type callKey struct{}

// callOf returns the call of a request. It is set by [server.begin], which every request passes.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// newDuration makes the metric of requests. Operations and codes are closed sets.
func newDuration() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lanyard_registry_api_request_duration_seconds",
		Help:    "Time to answer requests of the administrators' API.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"operation", "code"})
}

// begin is the outermost handler: it gives the request an id, and logs it when it is done. The log has no path: it may hold anything.
func (s *server) begin(c *gin.Context) {
	start := time.Now()
	source, _, err := net.SplitHostPort(c.Request.RemoteAddr)
	if err != nil {
		source = c.Request.RemoteAddr
	}
	call := &call{id: uuid.Must(uuid.NewV7()).String(), source: source, operation: s.operations[c.Request.Method+" "+c.FullPath()]}
	ctx, cancel := context.WithTimeout(context.WithValue(c.Request.Context(), callKey{}, call), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Header("X-Request-Id", call.id)
	s.recovered(c, call)

	operation := "unknown"
	switch {
	case call.operation != nil:
		operation = call.operation.id
	case c.FullPath() == signInPath:
		operation = "signIn"
	}
	s.duration.WithLabelValues(operation, strconv.Itoa(c.Writer.Status())).Observe(time.Since(start).Seconds())
	attrs := []slog.Attr{
		slog.String("request_id", call.id),
		slog.String("principal", call.principal.String()),
		slog.String("source_ip", call.source),
		slog.Int("status", c.Writer.Status()),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000),
	}
	if call.operation != nil {
		attrs = append(attrs, slog.String("operation", call.operation.id), slog.String("action", call.operation.rule.Action))
	}
	level := slog.LevelInfo
	if call.code != "" {
		attrs = append(attrs, slog.String("reason", string(call.code)))
	}
	if call.err != nil {
		attrs = append(attrs, slog.Any("err", call.err))
		level = slog.LevelWarn
	}
	if call.code == contract.CodeInternal || call.code == contract.CodeIntegrity {
		level = slog.LevelError
	}
	s.log.LogAttrs(ctx, level, "request", attrs...)
}

// recovered runs the other handlers and answers a panic with a problem. The stack goes to the log; the panic's own text does not, because a panic may have
// been given anything.
func (s *server) recovered(c *gin.Context, call *call) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // what was panicked with is compared, as net/http does
			panic(p)
		}
		s.log.LogAttrs(c.Request.Context(), slog.LevelError, "panic", slog.String("request_id", call.id), slog.String("stack", string(debug.Stack())))
		c.Abort()
		if !c.Writer.Written() {
			s.fail(c, contract.CodeInternal)
		}
	}()
	c.Next()
}

// headers sets what every answer has. The listener answers programs only: nothing of it may be kept, framed, sniffed or run.
func headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if c.Request.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	c.Next()
}
