// SPDX-License-Identifier: Apache-2.0

// Package resolve decides which values one pod receives, and fetches them.
//
// The order is the promise: the request's limits; then, for every consumer it names, whether a binding lets this pod claim it, and for every secret it refers to
// inline, whether a grant lets it do that; only then what the consumers refer to. A pod that may not claim a consumer or refer to a secret learns nothing of it,
// not even whether it exists. All values or none: what cannot be resolved
// fails the request as a whole and is told ENV by ENV. Before anything is returned the audit log has accepted a record of it.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Finder is what the store held at one moment, no earlier than the call that returned it, without a value of it. Its errors wrap store.ErrNotFound or store.ErrIntegrity.
type Finder interface {
	FindConsumer(org, name string) (store.Consumer, error)
	// FindSecret does not find soft-deleted secrets.
	FindSecret(orgID, id string) (store.Secret, error)
	// FindSecretByName is the same by the slug of an organization and the secret's name.
	FindSecretByName(org, name string) (store.Secret, error)
}

// View is a [Finder] with the values, as store.View.
type View interface {
	Finder
	// OpenVersion returns a value that the caller owns and may wipe. Its errors wrap those of a Finder or store.ErrKey.
	OpenVersion(orgID, secretID string, number uint64) (redact.Value, error)
}

// Auditor keeps records, as audit.Log does. Record must return when ctx ends; an error means that nothing may be released.
type Auditor interface {
	Record(ctx context.Context, events ...audit.Event) error
}

// Denier keeps records of refusals, as audit.Denials does.
type Denier interface {
	Record(ctx context.Context, events ...audit.Event)
}

// Config is what a [Resolver] works with.
type Config struct {
	// View runs the store's read barrier. Its error wraps store.ErrUnavailable, store.ErrKey or the context's.
	View func(context.Context) (View, error)
	// Fetch begins the fetches of one request: what they have in common may come from one read. The zero Call is a check, whose values reach nobody. If nil, remote secrets are
	// unavailable.
	Fetch  func(Call) Fetcher
	Audit  Auditor
	Denied Denier
	// MarkKey returns the key of the marks, the same on every replica, and never shown to anybody. If nil, answers carry no mark.
	MarkKey func() [32]byte
	// Known returns the revision of the newest change this replica's store knows of. If nil, no request says anything about earlier ones.
	Known func() int64
	// Fetches is how many remote values of one request are fetched at once; 8 if 0.
	Fetches      int
	AuditTimeout time.Duration // 2 s if 0
}

// Resolver resolves requests. It keeps no state between them and is safe for concurrent use.
type Resolver struct{ config Config }

// New returns a Resolver.
func New(config Config) (*Resolver, error) {
	if config.View == nil || config.Audit == nil || config.Denied == nil {
		return nil, errors.New("creating resolver: View, Audit and Denied are required")
	}
	config.Fetches = cmp.Or(config.Fetches, 8)
	config.AuditTimeout = cmp.Or(config.AuditTimeout, 2*time.Second)
	return &Resolver{config}, nil
}

// Call is who asks, and in which HTTP request.
type Call struct {
	Principal authn.Principal
	RequestID string
	SourceIP  string
	// Fresh says that what a provider gave before will not do. The resolver sets it for pods that have values already: what they have is at least as new.
	Fresh bool
	// ProviderTokens are the pod's own, for providers that are read with its identity. The resolver sets them from the request.
	ProviderTokens []wire.ProviderToken
	// Containers are the pod's that the values are for. The resolver sets it from the request.
	Containers []string
	// Since, if it is not 0, says that these containers hold no value of an answer given before that revision of the store. The resolver sets it for containers that start.
	Since int64
	// Receipt, if set, is where the caller says what became of the values. If nil, they are taken to have been delivered.
	Receipt *Receipt
}

// Receipt says what became of the values of one request. The zero value is ready. It is for one goroutine.
type Receipt struct{ end func(delivered bool) }

// Settle tells whether the values may have reached the pod. Only the first call counts.
func (r *Receipt) Settle(delivered bool) {
	if r.end != nil {
		r.end(delivered)
		r.end = nil
	}
}

// Refusal is why a request got no values: the problem to answer with, and for the log what caused it. Neither contains a value.
type Refusal struct {
	Problem wire.Problem
	Err     error // nil if nothing failed
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("%s: %v", r.Problem.Code, r.Err)
	}
	return string(r.Problem.Code)
}

func (r *Refusal) Unwrap() error { return r.Err }

func refuse(code wire.Code, message string, err error) *Refusal {
	return &Refusal{wire.Problem{Code: code, Message: message}, err}
}

const unresolvedMessage = "not every ENV has a value"

// Resolve returns the values req asks for, which the caller owns and wipes; or why there are none. If req has the mark of just these values, the response
// says so instead of holding them. That releases nothing and is not audited: a fleet that asks every minute would bury the releases.
func (r *Resolver) Resolve(ctx context.Context, call Call, req Request) (*wire.ResolveResponse, *Refusal) {
	if req.starting && r.config.Known != nil {
		// Before anything that waits: an attempt that is made while this one does must not be taken for an earlier one.
		call.Since = r.config.Known()
	}
	view, err := r.config.View(ctx)
	if err != nil {
		return nil, unreadable(err)
	}
	consumers, refusal := claim(view, call.Principal, req.consumers)
	if refusal != nil {
		r.config.Denied.Record(ctx, unbound(call, req.consumers, consumers)...)
		return nil, refusal
	}
	if refusal := allowed(req, consumers); refusal != nil {
		r.config.Denied.Record(ctx, disallowed(call, req, consumers)...)
		return nil, refusal
	}
	secrets, refusal := granted(view, call.Principal, req.inline)
	if refusal != nil {
		r.config.Denied.Record(ctx, ungranted(call, req.inline, secrets)...)
		return nil, refusal
	}
	call.Fresh, call.ProviderTokens, call.Containers = req.Refresh(), req.tokens, req.containerNames()
	plan := lookUp(view, req, consumers, secrets)
	if err := r.open(ctx, call, view, plan); err != nil {
		plan.wipe()
		return nil, unreadable(err)
	}
	response, items := plan.assemble(call.RequestID)
	if len(items) > 0 {
		plan.wipe()
		refusal := refuse(wire.CodeUnresolved, unresolvedMessage, plan.cause())
		refusal.Problem.Items = items
		r.config.Denied.Record(ctx, unresolved(call, plan)...)
		return nil, refusal
	}
	response.Mark = r.mark(plan, call)
	if req.Refresh() && response.Mark == req.mark {
		plan.wipe()
		return &wire.ResolveResponse{RequestID: response.RequestID, Mark: response.Mark, Unchanged: true}, nil
	}
	if err := r.record(ctx, released(call, plan)); err != nil {
		plan.wipe()
		return nil, refuse(wire.CodeAuditUnavailable, "the audit record was not accepted, so nothing was released", err)
	}
	plan.hand(call.Receipt)
	return response, nil
}

func (r *Resolver) record(ctx context.Context, events []audit.Event) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.AuditTimeout)
	defer cancel()
	return r.config.Audit.Record(ctx, events...)
}

// unreadable maps an error of the store to the code of a request. An error it does not know is ours, and internal.
func unreadable(err error) *Refusal {
	switch {
	case errors.Is(err, store.ErrKey):
		return refuse(wire.CodeKeyUnavailable, "a key-encryption key is missing", err)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refuse(wire.CodeStoreUnavailable, "the store could not be read in time", err)
	}
	return refuse(wire.CodeInternal, "internal error", err)
}
