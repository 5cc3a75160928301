// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// errorTable says which problem an error of the store or of a handler is. The first row whose error is in the chain counts; what is in no row is internal.
var errorTable = []struct {
	err    error
	code   contract.Code
	detail string // what is said when the error has no more to tell
	report bool   // the cause is logged: an operator may have to act
}{
	{session.ErrCrossOrigin, contract.CodeForbidden, "A page of another origin made the browser send this. Nothing was done.", false},
	{bearer.ErrUnchecked, contract.CodeUnavailable, "The credential could not be checked now. Nothing was done; try again.", true},
	{store.ErrInvalid, contract.CodeValidation, "", false},
	{store.ErrKeyReused, contract.CodeIdempotencyKeyReuse, "The key was sent with another request before. Nothing was done now.", false},
	{store.ErrAnswerLost, contract.CodeAlreadyExists, "This very request was carried out before; its answer was too large to be kept. Read the object.", false},
	{store.ErrConflict, contract.CodePreconditionFailed, "", false},
	{store.ErrReferenced, contract.CodeReferenced, "Something still uses it. Remove the references first.", false},
	{store.ErrExists, contract.CodeAlreadyExists, "The name is taken, maybe by a deleted secret. Nothing was changed.", false},
	{store.ErrQuota, contract.CodeQuotaExceeded, "", false},
	{store.ErrLastOwner, contract.CodeLastOwner, "It is the only owner. Make somebody else an owner first.", false},
	{store.ErrLastAdministrator, contract.CodeLastAdministrator, "It is the only administrator, and the bootstrap token has ended. Make somebody else one first.", false},
	{errBootstrapEnded, contract.CodeUnauthenticated, "The bootstrap token has ended: an administrator has signed in. Sign in as an administrator.", false},
	{errForbidden, contract.CodeForbidden, "Only administrators of the installation may do this.", false},
	{errNobody, contract.CodeForbidden, "A token cannot be a member. Sign in, or use a service account.", false},
	{errNoInvitation, contract.CodeNotFound, "The code is not that of an open invitation, or not for you. Ask for another.", false},
	{errDeleted, contract.CodeNotFound, "The secret is deleted. Undelete it first.", false},
	{store.ErrNotFound, contract.CodeNotFound, "There is no such object here.", false},
	{errIfMatchRequired, contract.CodePreconditionRequired, "Send the ETag of the object as you read it in If-Match.", false},
	{store.ErrAudit, contract.CodeAuditUnavailable, "An audit sink does not accept events. Nothing was changed.", true},
	{store.ErrKey, contract.CodeKeyUnavailable, "A key-encryption key is missing from the registry. Nothing was changed.", true},
	{store.ErrIntegrity, contract.CodeIntegrity, "A stored record does not verify and is not used.", true},
	{store.ErrUnavailable, contract.CodeUnavailable, unknownOutcome, true},
	{context.DeadlineExceeded, contract.CodeUnavailable, unknownOutcome, true},
	{context.Canceled, contract.CodeUnavailable, unknownOutcome, false}, // the caller is gone
}

const unknownOutcome = "The store did not answer in time. If this was a change, it may or may not have happened: read the object before you try again."

// invalid is a request that breaks rules. It is an [store.ErrInvalid].
type invalid []contract.FieldProblem

func (invalid) Error() string { return store.ErrInvalid.Error() }
func (invalid) Unwrap() error { return store.ErrInvalid }

// field is an [invalid] of one field of the body.
func field(pointer, code, format string, args ...any) invalid {
	return invalid{{Pointer: pointer, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// parameter is an [invalid] of one query parameter or header.
func parameter(name, code, format string, args ...any) invalid {
	return invalid{{Parameter: &name, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// problem says what of err the caller is told. It never uses the text of an error it does not know.
func (c *call) problem(err error) *contract.Problem {
	for _, row := range errorTable {
		if !errors.Is(err, row.err) {
			continue
		}
		if row.report {
			c.err = err
		}
		p := newProblem(row.code)
		p.Detail = optional(row.detail)
		c.explain(p, err)
		return p
	}
	c.err = err
	return newProblem(contract.CodeInternal)
}

// explain adds what typed errors know.
func (c *call) explain(p *contract.Problem, err error) {
	if fields, ok := errors.AsType[invalid](err); ok {
		p.Errors = (*[]contract.FieldProblem)(&fields)
	}
	if e, ok := errors.AsType[*store.FieldError](err); ok {
		f := contract.FieldProblem{Code: e.Code, Message: e.Message}
		if e.Pointer != "" && c.operation.body == nil {
			f.Parameter = optional(strings.TrimPrefix(e.Pointer, "/")) // the store does not know what is in a query
		} else {
			f.Pointer = e.Pointer
		}
		p.Errors = &[]contract.FieldProblem{f}
	}
	if e, ok := errors.AsType[*store.ConflictError](err); ok {
		p.Detail = optional(fmt.Sprintf("It was changed by %s at %s. Nothing was changed now.", e.Current.UpdatedBy, e.Current.UpdatedAt.Format(time.RFC3339)))
		p.CurrentEtag = optional(etag(e.Current))
		p.ChangedBy, p.ChangedAt = &e.Current.UpdatedBy, &e.Current.UpdatedAt
	}
	if e, ok := errors.AsType[*store.RefusedError](err); ok {
		fields := each(e.Refused, func(r store.BatchResult) contract.FieldProblem {
			return contract.FieldProblem{Code: "exists", Message: fmt.Sprintf("secret %s: %s", r.Name, r.Reason)}
		})
		p.Detail, p.Errors = optional("Secrets exist that must not be changed like this. Nothing was changed."), &fields
	}
	if e, ok := errors.AsType[*store.QuotaError](err); ok {
		p.Detail = optional(fmt.Sprintf("The organization may have %d %s; it has %d, and this would add %d. Nothing was changed.", e.Limit, e.Of, e.Have, e.More))
	}
	if e, ok := errors.AsType[*store.NotEmptyError](err); ok {
		have := contents(e.Contents)
		p.Detail, p.Contents = optional("The organization is not empty. Empty it, or send force=true and confirm=<its slug> to delete it with everything in it."), &have
	}
	if e, ok := errors.AsType[*store.ReferencedError](err); ok {
		refs := references(e.References)
		p.References = &refs
	}
}

func newProblem(code contract.Code) *contract.Problem {
	info := code.Info()
	return &contract.Problem{Type: contract.ProblemBase + string(info.Code), Title: info.Title, Status: info.Status}
}

// fail answers with a problem that needs no explanation.
func (s *server) fail(c *gin.Context, code contract.Code) { s.write(c, newProblem(code)) }

// refuse answers with the problem an error is.
func (s *server) refuse(c *gin.Context, err error) {
	s.write(c, callOf(c.Request.Context()).problem(err))
}

// write sends a problem and ends the request.
func (s *server) write(c *gin.Context, p *contract.Problem) {
	call := callOf(c.Request.Context())
	call.code, p.RequestID = p.Code(), call.id
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}") // cannot happen: plain data
	}
	h := c.Writer.Header()
	h.Del("ETag")
	h.Del("Location")
	h.Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="lanyard"`)
	}
	c.Abort()
	c.Writer.WriteHeader(p.Status)
	_, _ = c.Writer.Write(append(body, '\n'))
}

// optional is nil for what is not set.
func optional[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// or returns what p points to, or fallback if it is nil.
func or[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
