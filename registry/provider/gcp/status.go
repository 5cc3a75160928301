// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"net/http"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/bearer"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

const secretManager = "Secret Manager"

// status is what Google calls the cause of an answer. It is compared, never shown.
func status(body []byte) string {
	var answer struct {
		Error struct {
			Status string `json:"status"`
		} `json:"error"`
	}
	if provider.DecodeJSON(body, &answer) != nil {
		return ""
	}
	return answer.Error.Status
}

// explain returns what an answer other than 200 means.
func explain(ref provider.Ref, answer *bearer.Answer) *provider.Error {
	final := func(kind provider.Kind, reason provider.Reason, message string) *provider.Error {
		return &provider.Error{Kind: kind, Reason: reason, Message: message}
	}
	switch {
	case answer.Status == http.StatusUnauthorized:
		return final(provider.KindDenied, provider.ReasonCredentials, "Secret Manager does not accept the token")
	case answer.Status == http.StatusForbidden:
		return final(provider.KindDenied, provider.ReasonPermission, "Secret Manager denies access: the identity must be a Secret Manager Secret Accessor, and the API be enabled in the project")
	case answer.Status == http.StatusNotFound && ref.Version != "":
		return final(provider.KindNotFound, provider.ReasonVersion, "the project has no secret of this name with this version")
	case answer.Status == http.StatusNotFound:
		return final(provider.KindNotFound, provider.ReasonPath, "the project has no secret of this name with a version")
	case answer.Status == http.StatusBadRequest && status(answer.Body) == "FAILED_PRECONDITION":
		return final(provider.KindNotFound, provider.ReasonVersion, "this version of the secret is disabled or destroyed")
	default:
		return rest.Status(secretManager, answer.Status, answer.Header)
	}
}
