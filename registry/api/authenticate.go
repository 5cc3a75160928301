// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Principal is who calls.
type Principal struct {
	Name  string // "<type>:<id>"; empty for the anonymous
	Class authz.Caller
}

// Authenticator says who holds a bearer token.
type Authenticator interface {
	// Authenticate returns an error wrapping [ErrToken] if the token is nobody's. Its errors never hold the token.
	Authenticate(ctx context.Context, token string) (Principal, error)
}

// ErrToken means that a token is not accepted. Why is not told.
var ErrToken = errors.New("token not accepted")

// maxToken bounds what is hashed before anybody is known.
const maxToken = 8 << 10

// BootstrapToken accepts one token, which the file holds, for the first administrator. The file is read for every request, so that replacing or removing it
// has effect at once.
type BootstrapToken struct{ File string }

// Authenticate implements [Authenticator].
func (b BootstrapToken) Authenticate(_ context.Context, token string) (Principal, error) {
	if b.File == "" {
		return Principal{}, ErrToken
	}
	content, err := os.ReadFile(b.File)
	if errors.Is(err, os.ErrNotExist) {
		return Principal{}, ErrToken
	}
	if err != nil {
		return Principal{}, fmt.Errorf("reading the bootstrap token: %w", err)
	}
	want := strings.TrimSpace(string(content))
	if len(want) < 32 {
		return Principal{}, errors.New("reading the bootstrap token: it is shorter than 32 characters, which could be guessed")
	}
	have, expected := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want)) // equal lengths for the comparison
	if subtle.ConstantTimeCompare(have[:], expected[:]) != 1 {
		return Principal{}, ErrToken
	}
	return Principal{Name: "token:bootstrap", Class: authz.Admin}, nil
}

func authenticated(authenticator Authenticator) gin.HandlerFunc {
	return func(c *gin.Context) {
		caller := Principal{Class: authz.Anonymous}
		if header := c.GetHeader("Authorization"); header != "" {
			scheme, token, ok := strings.Cut(header, " ")
			if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
				refuse(c, &refusal{kind: kindUnauthenticated, detail: "send the header Authorization: Bearer <token>"})
				return
			}
			var err error
			caller, err = authenticator.Authenticate(c.Request.Context(), token)
			switch {
			case errors.Is(err, ErrToken):
				refuse(c, &refusal{kind: kindUnauthenticated, detail: "the token is not accepted"})
				return
			case err != nil:
				refuse(c, err)
				return
			}
		}
		c.Set(keyPrincipal, caller)
	}
}

func authorized(c *gin.Context) {
	if c.FullPath() == "" {
		return // no such route: NoRoute and NoMethod answer
	}
	switch authz.Decide(principal(c).Class, authz.Route(c.Request.Method+" "+c.FullPath())) {
	case authz.Allowed:
	case authz.Forbidden:
		refuse(c, &refusal{kind: kindForbidden, detail: "the caller's role does not allow it"})
	default:
		refuse(c, &refusal{kind: kindUnauthenticated, detail: "send the header Authorization: Bearer <token>"})
	}
}

func principal(c *gin.Context) Principal {
	p, _ := c.Get(keyPrincipal)
	caller, ok := p.(Principal)
	if !ok {
		return Principal{Class: authz.Anonymous}
	}
	return caller
}

// act is what the audit event of a change says of its request.
func act(ctx context.Context) store.Act {
	c := ctx.(*gin.Context)
	return store.Act{Actor: principal(c).Name, RequestID: requestID(c), SourceIP: c.RemoteIP()}
}
