// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"net/http"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// refused returns what an answer means that is not 200. The status says it all: bodies are not read.
func (k *Kubernetes) refused(resp *http.Response) *provider.Error {
	e := &provider.Error{RetryAfter: rest.RetryAfter(resp.Header)}
	is := func(kind provider.Kind, reason provider.Reason, message string) *provider.Error {
		e.Kind, e.Reason, e.Message = kind, reason, message
		return e
	}
	switch status := resp.StatusCode; {
	case status >= 300 && status < 400:
		return is(provider.KindUnavailable, provider.ReasonRedirect, "the API server redirects, which is not followed")
	case status == http.StatusUnauthorized:
		return is(provider.KindDenied, provider.ReasonCredentials, "the API server does not accept the token: it expired, its service account is gone, or it is for another audience or cluster")
	case status == http.StatusForbidden:
		return is(provider.KindDenied, provider.ReasonPermission, "the API server denies access: a Role must allow to get this Secret")
	case status == http.StatusNotFound:
		return is(provider.KindNotFound, provider.ReasonPath, "there is no such Secret")
	case status == http.StatusTooManyRequests:
		return is(provider.KindThrottled, provider.ReasonRateLimit, "the API server asks for fewer requests")
	case status >= 500, status == http.StatusRequestTimeout:
		return is(provider.KindUnavailable, provider.ReasonServer, fmt.Sprintf("the API server answers with status %d", status))
	default:
		return is(provider.KindInvalid, provider.ReasonRequestRejected, fmt.Sprintf("the API server rejects the request with status %d", status))
	}
}
