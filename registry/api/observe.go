// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Keys of what a request carries from door to door.
const (
	keyRequestID = "lanyard.request_id"
	keyPrincipal = "lanyard.principal"
	keyProblem   = "lanyard.problem"
)

// HeaderRequestID is on every answer.
const HeaderRequestID = "X-Request-Id"

func requestID(c *gin.Context) string { return c.GetString(keyRequestID) }

// observer writes one line and one sample for each request, when it is over.
type observer struct {
	log      *slog.Logger
	duration *prometheus.HistogramVec
}

func newObserver(log *slog.Logger, registerer prometheus.Registerer) *observer {
	o := &observer{log: log, duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lanyard_registry_api_request_duration_seconds",
		Help:    "Time to answer requests of the administrators' API.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"route", "status"})}
	if registerer != nil {
		registerer.MustRegister(o.duration)
	}
	return o
}

func (o *observer) request(c *gin.Context) {
	began := time.Now()
	id := uuid.Must(uuid.NewV7()).String()
	c.Set(keyRequestID, id)
	c.Header(HeaderRequestID, id)
	c.Next()

	route := c.FullPath() // a pattern: paths hold names, and unknown ones whatever was sent
	if route == "" {
		route = "unknown"
	}
	status := c.Writer.Status()
	elapsed := time.Since(began)
	o.duration.WithLabelValues(c.Request.Method+" "+route, strconv.Itoa(status)).Observe(elapsed.Seconds())
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	attributes := []slog.Attr{
		slog.String("request_id", id), slog.String("principal", principal(c).Name), slog.String("action", c.Request.Method+" "+route),
		slog.Int("status", status), slog.Float64("duration_ms", float64(elapsed.Microseconds())/1000), slog.String("source_ip", c.RemoteIP()),
	}
	if problem := c.GetString(keyProblem); problem != "" {
		attributes = append(attributes, slog.String("reason", problem))
	}
	if last := c.Errors.Last(); last != nil {
		attributes = append(attributes, slog.String("err", last.Error()))
	}
	o.log.LogAttrs(c.Request.Context(), level, "request", attributes...)
}

// recovered turns a panic into an answer. Where it came from is logged, what it said is not: it may hold anything.
func recovered(c *gin.Context) {
	defer func() {
		if cause := recover(); cause != nil {
			refuse(c, fmt.Errorf("panic of type %T at %s", cause, debug.Stack()))
		}
	}()
	c.Next()
}
