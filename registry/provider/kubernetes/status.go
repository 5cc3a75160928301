// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"net/http"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// refused returns what an answer means that is not 200. The status says it all: bodies are not read.
func refused(resp *http.Response) *provider.Error {
	is := func(kind provider.Kind, reason provider.Reason, message string) *provider.Error {
		return &provider.Error{Kind: kind, Reason: reason, Message: message}
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return is(provider.KindDenied, provider.ReasonCredentials, "the API server does not accept the token: it expired, its service account is gone, or it is for another audience or cluster")
	case http.StatusForbidden:
		return is(provider.KindDenied, provider.ReasonPermission, "the API server denies access: a Role must allow to get this Secret")
	case http.StatusNotFound:
		return is(provider.KindNotFound, provider.ReasonPath, "there is no such Secret")
	default:
		return rest.Status(server, resp.StatusCode, resp.Header)
	}
}
