// SPDX-License-Identifier: Apache-2.0

package apitoken

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Tokens is what is asked of a [store.Store].
type Tokens interface {
	// VerifyAPIToken returns an error wrapping [store.ErrNotFound] unless there is a token with this id and hash, neither revoked nor expired.
	VerifyAPIToken(ctx context.Context, id string, sum [sha256.Size]byte) (store.APIToken, error)
}

// Authenticator accepts API tokens. Tokens is required.
type Authenticator struct{ Tokens Tokens }

// Authenticate returns the principal token:<id> with the token's organization and role, the anonymous principal if the request has no API token or one that
// is not valid, and an error wrapping [bearer.ErrUnchecked] if the store cannot tell.
func (a *Authenticator) Authenticate(r *http.Request) (authz.Principal, error) {
	text, ok := bearer.Token(r)
	if !ok {
		return authz.Principal{}, nil
	}
	id, err := Parse(text)
	if err != nil {
		return authz.Principal{}, nil //nolint:nilerr // another credential is no error
	}
	t, err := a.Tokens.VerifyAPIToken(r.Context(), id, Sum(text))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return authz.Principal{}, nil
	case err != nil:
		return authz.Principal{}, fmt.Errorf("%w: verifying API token: %w", bearer.ErrUnchecked, err)
	}
	role := authz.Nobody
	switch t.Role {
	case store.RoleMember:
		role = authz.Member
	case store.RoleOwner:
		role = authz.Owner
	}
	return authz.Principal{Type: "token", ID: t.ID, Org: t.OrgID, Role: role}, nil
}
