// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
	"github.com/lanyard-dev/lanyard/registry/store"
)

// ProblemBase, followed by a problem's name, is its type.
const ProblemBase = "https://lanyard.dev/problems/"

// kind is one type of problem. The set is closed: docs/problems.md explains each, and a test compares the two.
type kind struct {
	name   string
	status int
	title  string
}

var (
	kindInvalidRequest   = kind{"invalid-request", http.StatusBadRequest, "The request could not be read"}
	kindUnauthenticated  = kind{"unauthenticated", http.StatusUnauthorized, "Credentials are missing or not accepted"}
	kindForbidden        = kind{"forbidden", http.StatusForbidden, "The caller may not do this"}
	kindNotFound         = kind{"not-found", http.StatusNotFound, "There is no such thing"}
	kindMethodNotAllowed = kind{"method-not-allowed", http.StatusMethodNotAllowed, "The path does not allow this method"}
	kindExists           = kind{"already-exists", http.StatusConflict, "The name is taken"}
	kindReferenced       = kind{"referenced", http.StatusConflict, "It is in use"}
	kindPrecondition     = kind{"precondition-failed", http.StatusPreconditionFailed, "It changed since it was read"}
	kindTooLarge         = kind{"too-large", http.StatusRequestEntityTooLarge, "The request is too large"}
	kindMediaType        = kind{"unsupported-media-type", http.StatusUnsupportedMediaType, "The body is not JSON"}
	kindValidation       = kind{"validation", http.StatusUnprocessableEntity, "Something in the request is not valid"}
	kindRateLimited      = kind{"rate-limited", http.StatusTooManyRequests, "Too many requests"}
	kindInternal         = kind{"internal", http.StatusInternalServerError, "The registry met an error it does not know"}
	kindIntegrity        = kind{"integrity", http.StatusInternalServerError, "A stored record does not verify"}
	kindUnavailable      = kind{"unavailable", http.StatusServiceUnavailable, "The store does not answer"}
	kindKeyUnavailable   = kind{"key-unavailable", http.StatusServiceUnavailable, "A key of the key ring is missing"}
)

// kinds is the catalogue, in the order of the documentation.
var kinds = []kind{
	kindInvalidRequest, kindUnauthenticated, kindForbidden, kindNotFound, kindMethodNotAllowed, kindExists, kindReferenced, kindPrecondition, kindTooLarge,
	kindMediaType, kindValidation, kindRateLimited, kindInternal, kindIntegrity, kindUnavailable, kindKeyUnavailable,
}

// refusal is an error that knows which problem it is. Its detail is shown to the caller.
type refusal struct {
	kind   kind
	detail string
	errors []FieldProblem
}

func (r *refusal) Error() string { return r.kind.name + ": " + r.detail }

func invalid(pointer, code, message string) error {
	return &refusal{kindValidation, message, []FieldProblem{{Pointer: pointer, Code: code, Message: message}}}
}

// problemOf is the one place where errors become answers. Details are written here or by the store, which never quotes a value; what is unknown is told as
// nothing but a request id.
func problemOf(err error) (kind, Problem) {
	var (
		refused    *refusal
		field      *store.FieldError
		conflict   *store.ConflictError
		referenced *store.ReferencedError
	)
	k, p := kindInternal, Problem{}
	tell := func(as kind, detail string) { k, p.Detail = as, &detail }
	switch {
	case errors.As(err, &refused):
		tell(refused.kind, refused.detail)
		if len(refused.errors) > 0 {
			p.Errors = &refused.errors
		}
	case errors.As(err, &field):
		tell(kindValidation, field.Error())
		p.Errors = &[]FieldProblem{{Pointer: field.Pointer, Code: field.Code, Message: field.Message}}
	case errors.As(err, &conflict):
		tell(kindPrecondition, conflict.Error())
		current := etag(conflict.Current.Revision)
		p.CurrentEtag = &current
	case errors.As(err, &referenced):
		tell(kindReferenced, "remove the references first, or delete with force=true")
		references := references(referenced.References)
		p.References = &references
	case errors.Is(err, store.ErrReferenced):
		tell(kindReferenced, err.Error())
	case errors.Is(err, store.ErrNotFound):
		tell(kindNotFound, err.Error())
	case errors.Is(err, store.ErrExists):
		tell(kindExists, err.Error())
	case errors.Is(err, store.ErrIntegrity):
		tell(kindIntegrity, "the record is corrupt or was changed by somebody without the key; restore it from a backup")
	case errors.Is(err, store.ErrKey):
		tell(kindKeyUnavailable, err.Error())
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		tell(kindUnavailable, "if this was a change, its outcome is unknown: read before trying again")
	}
	p.Type, p.Title, p.Status = ProblemBase+k.name, k.title, k.status
	return k, p
}

// refuse answers with the problem that err is, and keeps err for the request's log line.
func refuse(c *gin.Context, err error) {
	k, p := problemOf(err)
	p.RequestId = new(requestID(c))
	_ = c.Error(err)
	c.Set(keyProblem, k.name)
	switch k {
	case kindUnauthenticated:
		c.Header("WWW-Authenticate", `Bearer realm="lanyard"`)
	case kindRateLimited, kindUnavailable, kindKeyUnavailable:
		c.Header("Retry-After", strconv.Itoa(retryAfter))
	}
	body, err := json.Marshal(p)
	if err != nil { // a Problem holds nothing that does not marshal
		panic(err)
	}
	c.Abort()
	c.Data(k.status, "application/problem+json", body)
}

// retryAfter, in seconds, is longer than a restart of the registry or an election of etcd takes.
const retryAfter = 2
