// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authn/session"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Authenticator says who sends a request. It must not read the body, and its errors must not contain a credential. One that wraps [bearer.ErrUnchecked] is
// answered with unavailable instead of unauthenticated.
type Authenticator interface {
	// Authenticate returns the anonymous principal for a request without a credential it knows, and an error only if it cannot tell.
	Authenticate(*http.Request) (authz.Principal, error)
}

// FirstOf returns an Authenticator that asks others in turn: the first one that knows the credential says who it is. If none does, it returns their errors.
func FirstOf(authenticators ...Authenticator) Authenticator { return chain(authenticators) }

type chain []Authenticator

func (c chain) Authenticate(r *http.Request) (authz.Principal, error) {
	var unsure error
	for _, a := range c {
		p, err := a.Authenticate(r)
		if err == nil && !p.Anonymous() {
			return p, nil
		}
		unsure = errors.Join(unsure, err)
	}
	return authz.Principal{}, unsure
}

// Denials records refusals, aggregated so that nobody can fill the log with them. An audit.Denials is one. Record must not fail.
type Denials interface {
	Record(ctx context.Context, events ...audit.Event)
}

// authenticate finds out who calls. It refuses nobody: that is for authorize, which knows what needs no credential.
func (s *server) authenticate(c *gin.Context) {
	call := callOf(c.Request.Context())
	p, err := s.authenticator.Authenticate(c.Request)
	if err == nil {
		p, err = s.administration(c.Request.Context(), call, p)
	}
	if err != nil {
		// Not being able to tell is no reason to allow, nor to blame the credential in the log.
		call.err = fmt.Errorf("authenticating: %w", err)
		call.unsure = err
		p = authz.Principal{}
	}
	call.principal = p
}

func (s *server) authorize(c *gin.Context) {
	ctx := c.Request.Context()
	call := callOf(ctx)
	if call.operation == nil {
		s.fail(c, contract.CodeForbidden) // a route without an operation
		return
	}
	there, err := s.standing(ctx, call, c)
	if err != nil {
		s.refuse(c, err)
		return
	}
	switch authz.Decide(call.principal, there, call.operation.id) {
	case authz.Allowed:
	case authz.Unauthenticated:
		if errors.Is(call.unsure, errBootstrapEnded) {
			call.principal = authz.Principal{Type: "token", ID: "bootstrap"} // who is refused, for the audit log; it may do nothing
			s.denied(ctx, call, contract.CodeUnauthenticated)
			s.refuse(c, call.unsure)
			return
		}
		// A program must not take an outage for a revocation, nor a person a refused page for the end of the session.
		if errors.Is(call.unsure, errUnsettled) || errors.Is(call.unsure, session.ErrCrossOrigin) || errors.Is(call.unsure, bearer.ErrUnchecked) {
			s.refuse(c, call.unsure)
			return
		}
		s.fail(c, contract.CodeUnauthenticated)
	case authz.Hidden:
		s.denied(ctx, call, contract.CodeNotFound)
		s.refuse(c, store.ErrNotFound) // what an administrator is told of an organization that does not exist
	default:
		s.denied(ctx, call, contract.CodeForbidden)
		s.fail(c, contract.CodeForbidden)
	}
}

// standing says what the caller is in the organization of the path. It makes the same lookups whether there is such an organization or not.
func (s *server) standing(ctx context.Context, call *call, c *gin.Context) (authz.Standing, error) {
	slugOrID, named := c.Params.Get("organization")
	p := call.principal
	if !named || p.Anonymous() || p.Admin {
		return authz.NoOrganization, nil
	}
	var o store.Organization
	var err error
	role := p.Role
	if p.Org != "" {
		o, err = s.store.Organization(ctx, slugOrID)
		if err == nil && o.ID != p.Org || errors.Is(err, store.ErrIntegrity) {
			err = store.ErrNotFound
		}
	} else {
		var r store.Role
		o, r, err = s.store.Standing(ctx, slugOrID, p.String())
		role = roleOf(r)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return authz.Stranger, nil
	case err != nil:
		return authz.Stranger, err
	}
	call.orgID = o.ID
	return role.Standing(), nil
}

func roleOf(r store.Role) authz.Role {
	switch r {
	case store.RoleOwner:
		return authz.Owner
	case store.RoleMember:
		return authz.Member
	}
	return authz.Nobody
}

// denied has the refusal of a known caller audited. Of an organization the caller may not know of, nothing is noted: how long the answer takes must not
// tell whether there is one, and who tries many names must not fill the log.
func (s *server) denied(ctx context.Context, call *call, code contract.Code) {
	if s.denials == nil {
		return
	}
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Millisecond), RequestID: call.id, Actor: call.principal.String(),
		SourceIP: call.source, OrgID: call.orgID, Action: audit.Action(call.operation.rule.Action), Outcome: audit.Denied, Reason: string(code),
	}
	s.denials.Record(ctx, e)
}
