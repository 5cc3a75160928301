// SPDX-License-Identifier: Apache-2.0

package azure

import (
	"context"
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

const keyVault = "Key Vault"

// permission reports whether Key Vault accepts the token, and only denies what was asked for.
func permission(err error) bool {
	e, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && e.StatusCode == http.StatusForbidden && !outside(detail(e))
}

// outside reports whether the registry's network, and not its token, is the cause of a denial.
func outside(detail string) bool {
	return detail == "ForbiddenByFirewall" || detail == "ForbiddenByConnection"
}

// detail is what Key Vault calls the cause of an answer more exactly than by its status. It is compared, never shown.
func detail(e *azcore.ResponseError) string {
	var answer struct {
		Error struct {
			Inner struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	if e.RawResponse == nil {
		return ""
	}
	body, err := runtime.Payload(e.RawResponse)
	if err != nil || provider.DecodeJSON(body, &answer) != nil {
		return ""
	}
	return answer.Error.Inner.Code
}

// explain returns what an error of the library means. The library's own text is dropped: it quotes the answer.
func explain(ctx context.Context, ref provider.Ref, err error) *provider.Error {
	if e, ok := errors.AsType[*provider.Error](err); ok {
		return e
	}
	e, ok := errors.AsType[*azcore.ResponseError](err)
	switch {
	case !ok && ctx.Err() != nil:
		return rest.Broken(ctx, keyVault, err)
	case !ok || e.RawResponse == nil:
		return &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer is not that of Key Vault"}
	}
	final := func(kind provider.Kind, reason provider.Reason, message string) *provider.Error {
		return &provider.Error{Kind: kind, Reason: reason, Message: message}
	}
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return final(provider.KindDenied, provider.ReasonCredentials, "Key Vault does not accept the token: is the vault in this tenant?")
	case http.StatusForbidden:
		switch cause := detail(e); {
		case cause == "SecretDisabled":
			return final(provider.KindNotFound, provider.ReasonVersion, "this version of the secret is disabled")
		case outside(cause):
			return final(provider.KindDenied, provider.ReasonPermission, "the firewall of the vault does not let the registry in")
		}
		return final(provider.KindDenied, provider.ReasonPermission, "Key Vault denies access: the application must be allowed to get secrets, for example as Key Vault Secrets User")
	case http.StatusNotFound:
		if ref.Version != "" {
			return final(provider.KindNotFound, provider.ReasonVersion, "the vault has no secret of this name with this version")
		}
		return final(provider.KindNotFound, provider.ReasonPath, "the vault has no secret of this name")
	default:
		return rest.Status(keyVault, e.StatusCode, e.RawResponse.Header)
	}
}
