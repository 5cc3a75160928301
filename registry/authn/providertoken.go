// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Owns reports whether a token is good for audience and was issued to the very pod that p is: then a provider of that audience may be shown it for the pod. The error is an
// [*Error], of the reason [ProviderToken] if the token is not.
func (a *Authenticator) Owns(ctx context.Context, p Principal, audience, token string) error {
	not := func(why Reason) error {
		return refuse(wire.CodeUnauthenticated, ProviderToken, fmt.Errorf("token for audience %q: %s", audience, why))
	}
	if reason := checkShape(token, audience, time.Now()); reason != "" {
		return not(reason)
	}
	status, err := a.review(ctx, token, audience)
	if err != nil {
		return err
	}
	owner, reason := identify(status, audience)
	switch {
	case reason != "":
		return not(reason)
	case owner.PodUID != p.PodUID:
		return not(PodReplaced)
	case owner.Namespace != p.Namespace, owner.ServiceAccount != p.ServiceAccount, owner.Pod != p.Pod:
		return not(PodServiceAccount)
	}
	return nil
}
