// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Keys of the review's extras that say what the token is bound to.
const (
	extraPod        = "authentication.kubernetes.io/pod-name"
	extraPodUID     = "authentication.kubernetes.io/pod-uid"
	extraNode       = "authentication.kubernetes.io/node-name"
	extraCredential = "authentication.kubernetes.io/credential-id"
)

// reviews lets requests that hold the same token share the review that is under way. An answer is forgotten as soon as it is given.
type reviews struct {
	flight singleflight.Group // :: SHA-256 of the token, then the audience → *authenticationv1.TokenReviewStatus
}

// review asks the API server about a token for an audience. The status is shared with other requests and must not be changed.
func (a *Authenticator) review(ctx context.Context, token, audience string) (*authenticationv1.TokenReviewStatus, error) {
	key := sha256.Sum256([]byte(token))
	answer := a.reviews.flight.DoChan(string(key[:])+audience, func() (result any, err error) {
		defer func() {
			if p := recover(); p != nil { // this goroutine belongs to no request that could recover it
				err = fmt.Errorf("panic of type %T", p)
			}
		}()
		// Whoever comes first may leave before the answer; the others still want it. The question ends by its own timeout.
		var status *authenticationv1.TokenReviewStatus
		err = a.ask(context.WithoutCancel(ctx), func(ctx context.Context) (err error) {
			status, err = a.config.API.ReviewToken(ctx, token, audience)
			return err
		})
		return status, err
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return nil, unavailable(ReviewUnavailable, r.Err)
		}
		return r.Val.(*authenticationv1.TokenReviewStatus), nil
	case <-ctx.Done():
		return nil, refuse(wire.CodeAuthUnavailable, ReviewUnavailable, ctx.Err())
	}
}

// unavailable wraps what ask returned.
func unavailable(reason Reason, err error) *Error {
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	return refuse(wire.CodeAuthUnavailable, reason, err)
}

// identify reads the principal out of a review. Without the audience in the answer the token may have been checked by an authenticator that knows nothing
// of audiences, and may be anybody's.
func identify(status *authenticationv1.TokenReviewStatus, audience string) (Principal, Reason) {
	p, reason := account(status, audience)
	if reason != "" {
		return Principal{}, reason
	}
	for key, into := range map[string]*string{extraPod: &p.Pod, extraPodUID: &p.PodUID, extraNode: &p.Node, extraCredential: &p.TokenID} {
		values := status.User.Extra[key]
		if len(values) != 1 || values[0] == "" {
			return Principal{}, ReviewUnbound
		}
		*into = values[0]
	}
	return p, ""
}

// account reads the service account out of a review, whatever the token is bound to.
func account(status *authenticationv1.TokenReviewStatus, audience string) (Principal, Reason) {
	switch {
	case !status.Authenticated || status.Error != "":
		return Principal{}, ReviewRefused
	case !slices.Contains(status.Audiences, audience):
		return Principal{}, ReviewAudience
	}
	namespace, name, ok := splitUsername(status.User.Username)
	if !ok {
		return Principal{}, ReviewUsername
	}
	return Principal{Namespace: namespace, ServiceAccount: name}, ""
}

// splitUsername parses "system:serviceaccount:<namespace>:<name>". Neither part may hold a colon, so there are exactly four.
func splitUsername(username string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(username, subjectPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}
