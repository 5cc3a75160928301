// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

func TestAStatusSaysTheSameOfAnyServer(t *testing.T) {
	for status, want := range map[int]provider.Error{
		300: {Kind: provider.KindUnavailable, Reason: provider.ReasonRedirect, Message: "S redirects, which is not followed"},
		307: {Kind: provider.KindUnavailable, Reason: provider.ReasonRedirect, Message: "S redirects, which is not followed"},
		399: {Kind: provider.KindUnavailable, Reason: provider.ReasonRedirect, Message: "S redirects, which is not followed"},
		400: {Kind: provider.KindInvalid, Reason: provider.ReasonRequestRejected, Message: "S rejects the request with status 400"},
		401: {Kind: provider.KindInvalid, Reason: provider.ReasonRequestRejected, Message: "S rejects the request with status 401"},
		404: {Kind: provider.KindInvalid, Reason: provider.ReasonRequestRejected, Message: "S rejects the request with status 404"},
		408: {Kind: provider.KindUnavailable, Reason: provider.ReasonServer, Message: "S answers with status 408"},
		418: {Kind: provider.KindInvalid, Reason: provider.ReasonRequestRejected, Message: "S rejects the request with status 418"},
		429: {Kind: provider.KindThrottled, Reason: provider.ReasonRateLimit, Message: "S asks for fewer requests"},
		500: {Kind: provider.KindUnavailable, Reason: provider.ReasonServer, Message: "S answers with status 500"},
		503: {Kind: provider.KindUnavailable, Reason: provider.ReasonServer, Message: "S answers with status 503"},
		599: {Kind: provider.KindUnavailable, Reason: provider.ReasonServer, Message: "S answers with status 599"},
		101: {Kind: provider.KindInvalid, Reason: provider.ReasonRequestRejected, Message: "S rejects the request with status 101"},
		206: {Kind: provider.KindInvalid, Reason: provider.ReasonRequestRejected, Message: "S rejects the request with status 206"}, // a part of a secret is none
	} {
		want.RetryAfter = 7 * time.Second
		if got := rest.Status("S", status, http.Header{"Retry-After": {"7"}}); *got != want {
			t.Errorf("%d: %+v\nwant %+v", status, *got, want)
		}
	}
}

func TestAServerSaysWhenTryingAgainMakesSense(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"30":                            30 * time.Second,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999":                   0, // beyond any sense
		"Mon, 02 Jan 2006 15:04:05 GMT": 0, // long past
	} {
		if got := rest.RetryAfter(http.Header{"Retry-After": {text}}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if got := rest.RetryAfter(http.Header{"Retry-After": {at}}); got <= 0 || got > time.Hour {
		t.Errorf("%q: %v", at, got)
	}
	if got := rest.RetryAfter(nil); got != 0 {
		t.Errorf("without a header: %v", got)
	}
}
