// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authz"
)

// ServiceAccount authenticates a service account, of a pod or of a job outside the cluster that was given a token. The principal has no pod. The error is an
// [*Error].
func (a *Authenticator) ServiceAccount(ctx context.Context, token string) (Principal, error) {
	switch reason := checkShape(token, a.config.Audience, time.Now()); reason {
	case "":
	case TokenTooLong:
		return Principal{}, refuse(wire.CodeTooLarge, reason, nil)
	default:
		return Principal{}, reject(reason)
	}
	status, err := a.review(ctx, token, a.config.Audience)
	if err != nil {
		return Principal{}, err
	}
	p, reason := account(status, a.config.Audience)
	if reason != "" {
		return Principal{}, reject(reason)
	}
	p.Cluster = a.config.Cluster
	return p, nil
}

// Callers authenticates callers of the administrators' API by the tokens of their service accounts. Its audience must not be the one pods get their values
// with, or every agent's token would be good for more than that.
type Callers struct{ *Authenticator }

// Authenticate returns the principal serviceaccount:<namespace>/<name>, the anonymous principal if the request's bearer token is no valid token of a service
// account, and an error wrapping [bearer.ErrUnchecked] if the API server cannot tell.
func (c Callers) Authenticate(r *http.Request) (authz.Principal, error) {
	token, ok := bearer.Token(r)
	if !ok {
		return authz.Principal{}, nil
	}
	p, err := c.ServiceAccount(r.Context(), token)
	if refused, ok := errors.AsType[*Error](err); ok && (refused.Code == wire.CodeUnauthenticated || refused.Code == wire.CodeTooLarge) {
		return authz.Principal{}, nil
	}
	if err != nil {
		return authz.Principal{}, fmt.Errorf("%w: %w", bearer.ErrUnchecked, err)
	}
	return authz.Principal{Type: "serviceaccount", ID: p.Namespace + "/" + p.ServiceAccount}, nil
}
