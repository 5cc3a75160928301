// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

// Status explains an answer by what its status says of any server: limits, faults, redirects, and what is left, which the server does not understand. What a status says of secrets and credentials is for
// the package of the provider, which asks itself first. server is how the message calls the other side.
func Status(server string, status int, header http.Header) *provider.Error {
	e := &provider.Error{RetryAfter: RetryAfter(header)}
	switch {
	case status == http.StatusTooManyRequests:
		e.Kind, e.Reason, e.Message = provider.KindThrottled, provider.ReasonRateLimit, server+" asks for fewer requests"
	case status >= 300 && status < 400:
		e.Kind, e.Reason, e.Message = provider.KindUnavailable, provider.ReasonRedirect, server+" redirects, which is not followed"
	case status >= 500, status == http.StatusRequestTimeout:
		e.Kind, e.Reason, e.Message = provider.KindUnavailable, provider.ReasonServer, fmt.Sprintf("%s answers with status %d", server, status)
	default:
		e.Kind, e.Reason, e.Message = provider.KindInvalid, provider.ReasonRequestRejected, fmt.Sprintf("%s rejects the request with status %d", server, status)
	}
	return e
}

// RetryAfter reads the header of that name; 0 if it is missing or malformed.
func RetryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
