// SPDX-License-Identifier: Apache-2.0

package workloadapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/resolve"
)

// exchange is one request and its answer, and what is logged of it at the end.
type exchange struct {
	w  gin.ResponseWriter
	r  *http.Request
	ip string
	id string
	// route names the request in the log and in metrics.
	route string

	principal authn.Principal
	code      wire.Code // "ok" or why not
	reason    authn.Reason
	err       error        // the cause, for the log
	refused   wire.Problem // the answer, if it is one
}

// Outcomes that are no problem.
const (
	codeOK        wire.Code = "ok"
	codeUnchanged wire.Code = "unchanged" // nothing to release: the pod has these values
)

// routeRefresh is the route of resolve requests of pods that have values already.
const routeRefresh = "refresh"

// handle wraps a handler with what all have in common: headers, the request id, the answer to a panic, metrics and one log record.
func (s *server) handle(route string, handler func(*exchange)) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		e := &exchange{w: c.Writer, r: c.Request, ip: c.RemoteIP(), id: newID(), route: route}
		header := e.w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		s.metrics.inFlight.WithLabelValues(route).Inc()
		defer func() {
			p := recover()
			cut := p != nil && e.w.Written()
			if p != nil {
				e.panicked(p)
			}
			s.metrics.inFlight.WithLabelValues(route).Dec()
			s.metrics.done(e, time.Since(start))
			s.log(e, time.Since(start))
			if cut {
				panic(http.ErrAbortHandler) // cuts the connection: half an answer must not look whole
			}
		}()
		handler(e)
	}
}

// panicked answers a panic. Its text may hold anything, so the log gets its type, the text of the runtime's own, and the stack.
func (e *exchange) panicked(p any) {
	text := fmt.Sprintf("panic of type %T", p)
	if err, ok := p.(runtime.Error); ok {
		text = "panic: " + err.Error()
	}
	e.err = fmt.Errorf("%s\n%s", text, debug.Stack())
	e.code = wire.CodeInternal
	if !e.w.Written() {
		e.refuse(wire.Problem{Code: wire.CodeInternal, Message: "internal error"})
	}
}

func (s *server) log(e *exchange, took time.Duration) {
	level := slog.LevelInfo
	switch status := e.code.Info().Status; {
	case e.r.Context().Err() != nil && e.code != wire.CodeInternal: // the client has left; what failed because of it is nobody's trouble
	case e.code == codeUnchanged: // of a fleet that asks every minute, not a line each
		level = slog.LevelDebug
	case e.code == wire.CodeInternal:
		level = slog.LevelError
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		level = slog.LevelWarn
	}
	logger := s.config.Logger
	if !logger.Enabled(e.r.Context(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs,
		slog.String("request_id", e.id), slog.String("route", e.route), slog.String("source_ip", e.ip), slog.String("code", string(e.code)),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	if p := e.principal; p.Pod != "" {
		attrs = append(attrs, slog.String("namespace", p.Namespace), slog.String("service_account", p.ServiceAccount), slog.String("pod", p.Pod))
	}
	if e.reason != "" {
		attrs = append(attrs, slog.String("reason", string(e.reason)))
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("err", e.err.Error()))
	}
	logger.LogAttrs(e.r.Context(), level, "workload request", attrs...)
}

// refuse answers with a problem.
func (e *exchange) refuse(p wire.Problem) { e.write(p.Code.Info().Status, p) }

// refuseAs answers a request that is none of ours, for which the catalogue has no code of its own.
func (e *exchange) refuseAs(status int, message string) {
	e.write(status, wire.Problem{Code: wire.CodeInvalid, Message: message})
}

func (e *exchange) write(status int, p wire.Problem) {
	e.code, e.refused = p.Code, p
	p.RequestID = e.id
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings always encode
	}
	header := e.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		// Whoever was refused together must not come back together.
		header.Set("Retry-After", strconv.Itoa(1+rand.IntN(4)))
	}
	e.w.WriteHeader(status)
	_, _ = e.w.Write(body)
}

// refuseError answers with what the authenticator found.
func (e *exchange) refuseError(err error) {
	refused, ok := errors.AsType[*authn.Error](err)
	if !ok {
		refused = &authn.Error{Code: wire.CodeInternal, Message: "internal error", Err: err}
	}
	e.reason, e.err = refused.Reason, refused.Err
	e.refuse(wire.Problem{Code: refused.Code, Message: refused.Message})
}

// token returns the bearer token, or "" unless there is exactly one.
func (e *exchange) token() string {
	values := e.r.Header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

func (e *exchange) call() resolve.Call {
	return resolve.Call{Principal: e.principal, RequestID: e.id, SourceIP: e.ip}
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return id.String()
}
