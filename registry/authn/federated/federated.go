// SPDX-License-Identifier: Apache-2.0

// Package federated authenticates jobs by the bearers they got for their ID tokens. See package credential for the form of a bearer.
package federated

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Prefix is what every bearer begins with.
const Prefix = "lyd_fed_"

// Tokens is what is asked of a [store.Store].
type Tokens interface {
	// VerifyFederatedToken returns an error wrapping [store.ErrNotFound] unless there is a bearer with this id and hash that has not ended.
	VerifyFederatedToken(ctx context.Context, id string, sum [sha256.Size]byte) (store.FederatedToken, error)
}

// Authenticator accepts bearers. Tokens is required.
type Authenticator struct{ Tokens Tokens }

// Authenticate returns the principal federation:<name>#<subject> with the federation's organization and role, the anonymous principal if the request has no such bearer or one that is
// not valid, and an error wrapping [bearer.ErrUnchecked] if the store cannot tell.
func (a *Authenticator) Authenticate(r *http.Request) (authz.Principal, error) {
	text, ok := bearer.Token(r)
	if !ok {
		return authz.Principal{}, nil
	}
	id, ok := credential.Parse(Prefix, text)
	if !ok {
		return authz.Principal{}, nil // another credential is no error
	}
	t, err := a.Tokens.VerifyFederatedToken(r.Context(), id, credential.Sum(text))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return authz.Principal{}, nil
	case err != nil:
		return authz.Principal{}, fmt.Errorf("%w: verifying federated bearer: %w", bearer.ErrUnchecked, err)
	}
	role := authz.Nobody
	switch t.Role {
	case store.RoleMember:
		role = authz.Member
	case store.RoleOwner:
		role = authz.Owner
	}
	kind, who, _ := strings.Cut(t.Principal, ":")
	return authz.Principal{Type: kind, ID: who, Org: t.OrgID, Role: role, Credential: t.ID}, nil
}

// Principal is who a subject is by the federation of a name. A name has no '#'; what cannot stand in a principal is written as in URLs.
func Principal(federation, subject string) string {
	var b strings.Builder
	b.WriteString("federation:" + federation + "#")
	for _, c := range []byte(subject) {
		if c <= ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
