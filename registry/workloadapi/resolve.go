// SPDX-License-Identifier: Apache-2.0

package workloadapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"runtime"
	"strconv"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/resolve"
)

func (s *server) resolve(e *exchange) {
	req, refusal := decode(e)
	if refusal != nil {
		e.err = refusal.Err
		e.refuse(refusal.Problem)
		return
	}
	if req.Refresh() {
		e.route = routeRefresh
	}
	ctx, cancel := context.WithTimeout(e.r.Context(), s.config.Timeout)
	defer cancel()
	if !s.enter(ctx) {
		e.reason = authn.Overloaded
		e.refuse(wire.Problem{Code: wire.CodeOverloaded, Message: "too many requests at once"})
		return
	}
	defer s.leave()

	principal, err := s.config.Authenticator.Workload(ctx, e.token())
	if err != nil {
		e.refuseError(err)
		s.recordDenial(ctx, e)
		return
	}
	e.principal = principal
	defer s.tell(e)
	if err := s.config.Authenticator.CheckNode(ctx, principal, req.Deliveries()); err != nil {
		e.refuseError(err)
		s.recordDenial(ctx, e)
		return
	}
	for _, t := range req.ProviderTokens() {
		if err := s.config.Authenticator.Owns(ctx, principal, t.Audience, string(t.Token.Reveal())); err != nil {
			e.refuseError(err)
			s.recordDenial(ctx, e)
			return
		}
	}
	if !s.budget.take(principal.PodUID) {
		e.reason = authn.BudgetExceeded
		e.refuse(wire.Problem{Code: wire.CodeOverloaded, Message: "this pod has received its values too often within the hour"})
		s.recordDenial(ctx, e)
		return
	}
	call := e.call()
	call.Receipt = new(resolve.Receipt)
	defer call.Receipt.Settle(false) // only what was written may have reached the pod
	response, refusal := s.config.Resolver.Resolve(ctx, call, req)
	if refusal != nil {
		s.budget.giveBack(principal.PodUID)
		e.err = refusal.Err
		e.refuse(refusal.Problem)
		return
	}
	if response.Unchanged {
		s.budget.giveBack(principal.PodUID)
	}
	call.Receipt.Settle(e.release(response) && !response.Unchanged)
}

// tell tells of a pod that was refused. One that left while it was served was refused because of that, if anything was unavailable.
func (s *server) tell(e *exchange) {
	left := e.r.Context().Err() != nil && e.code.Info().Retryable
	if s.config.Events != nil && e.refused.Code != "" && !left {
		s.config.Events.Refused(e.principal, e.refused, e.route == routeRefresh)
	}
}

// decode reads the request. It looks at the length and type before it reads anything.
func decode(e *exchange) (resolve.Request, *resolve.Refusal) {
	tooLarge := &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeTooLarge, Message: "the body exceeds its limit"}}
	if e.r.ContentLength > wire.MaxRequestBytes {
		return resolve.Request{}, tooLarge
	}
	if kind, _, err := mime.ParseMediaType(e.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return resolve.Request{}, &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeInvalid, Message: "the content type must be application/json"}}
	}
	body, err := io.ReadAll(http.MaxBytesReader(e.w, e.r.Body, wire.MaxRequestBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return resolve.Request{}, tooLarge
	}
	if err != nil {
		return resolve.Request{}, &resolve.Refusal{Problem: wire.Problem{Code: wire.CodeInvalid, Message: "the body could not be read"}, Err: err}
	}
	return resolve.Decode(body)
}

// release sends the values, or word that there are no others, and destroys every copy of them that is ours. What net/http and TLS buffer is not. It reports whether they may have reached
// the pod: no only if its connection was gone before, or broke; an agent that has everything hangs up at once, so the end of the connection afterwards says nothing.
func (e *exchange) release(response *wire.ResolveResponse) (delivered bool) {
	e.code = codeOK
	if response.Unchanged {
		e.code = codeUnchanged
	}
	body := wire.AppendResponse(make([]byte, 0, wire.ResponseSize(response)), response)
	for _, c := range response.Containers {
		for _, env := range c.Envs {
			env.Value.Wipe()
		}
	}
	header := e.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	defer runtime.KeepAlive(body)
	defer clear(body)
	if err := e.r.Context().Err(); err != nil {
		e.err = err // the client has gone; the audit record says that it was authorized
		return false
	}
	if _, err := e.w.Write(body); err != nil {
		e.err = err
		return false
	}
	return true
}

// recordDenial records that a token was refused. Trouble of our own is no decision about anybody, and not recorded.
func (s *server) recordDenial(ctx context.Context, e *exchange) {
	switch {
	case e.code == wire.CodeUnauthenticated, e.code == wire.CodePodNotEligible, e.code == wire.CodeNodeUnsupported, e.reason == authn.BudgetExceeded:
		s.config.Denied.Record(ctx, e.call().Event(audit.Denied, string(e.reason)))
	}
}
