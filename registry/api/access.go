// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authz"
)

// Authenticator says who sends a request. It must not read the body, and its errors must not contain a credential.
type Authenticator interface {
	// Authenticate returns the anonymous principal for a request without a credential it knows, and an error only if it cannot tell.
	Authenticate(*http.Request) (authz.Principal, error)
}

// authenticate finds out who calls. It refuses nobody: that is for authorize, which knows what needs no credential.
func (s *server) authenticate(c *gin.Context) {
	call := callOf(c.Request.Context())
	p, err := s.authenticator.Authenticate(c.Request)
	if err != nil {
		// Not being able to tell is no reason to allow, nor to blame the credential in the log.
		call.err = fmt.Errorf("authenticating: %w", err)
		p = authz.Principal{}
	}
	call.principal = p
}

func (s *server) authorize(c *gin.Context) {
	call := callOf(c.Request.Context())
	if call.operation == nil {
		s.fail(c, contract.CodeForbidden) // a route without an operation
		return
	}
	switch authz.Decide(call.principal, call.operation.id) {
	case authz.Allowed:
	case authz.Unauthenticated:
		s.fail(c, contract.CodeUnauthenticated)
	default:
		s.fail(c, contract.CodeForbidden)
	}
}
