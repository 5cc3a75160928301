// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// meaning is what a code of AWS means.
type meaning struct {
	kind    provider.Kind
	reason  provider.Reason
	message string
}

var (
	throttled  = meaning{provider.KindThrottled, provider.ReasonRateLimit, "AWS asks for fewer requests"}
	permission = meaning{provider.KindDenied, provider.ReasonPermission, "AWS denies access: a policy of the credentials must allow to read this secret"}
	key        = meaning{provider.KindDenied, provider.ReasonPermission, "AWS denies access to the KMS key of the secret, or the key is disabled"}
	stranger   = meaning{provider.KindDenied, provider.ReasonCredentials, "AWS does not accept the credentials: they are wrong, disabled or expired"}
	missing    = meaning{provider.KindNotFound, provider.ReasonPath, "AWS has no such secret in this region and account"}
	version    = meaning{provider.KindNotFound, provider.ReasonVersion, "the secret has no such version"}
	internal   = meaning{provider.KindUnavailable, provider.ReasonServer, "AWS answers with an error of its own"}
)

var meanings = map[string]meaning{
	"ThrottlingException": throttled, "Throttling": throttled, "ThrottledException": throttled, "TooManyRequestsException": throttled, "RequestLimitExceeded": throttled,
	"RequestThrottled": throttled, "RequestThrottledException": throttled, "SlowDown": throttled, "LimitExceededException": throttled, "IDPCommunicationError": internal,

	"AccessDeniedException": permission, "AccessDenied": permission, "UnauthorizedOperation": permission,
	"DecryptionFailure": key, "InvalidKeyId": key, "KMSAccessDeniedException": key,

	"UnrecognizedClientException": stranger, "InvalidClientTokenId": stranger, "InvalidSignatureException": stranger, "SignatureDoesNotMatch": stranger, "AuthFailure": stranger,
	"ExpiredTokenException": stranger, "ExpiredToken": stranger, "RequestExpired": stranger, "MissingAuthenticationToken": stranger, "MissingAuthenticationTokenException": stranger,
	"IncompleteSignature": stranger, "IncompleteSignatureException": stranger, "NotAuthorized": stranger, "OptInRequired": stranger, "InvalidIdentityToken": stranger, "IDPRejectedClaim": stranger,

	"ResourceNotFoundException": missing, "ParameterNotFound": missing, "ParameterVersionNotFound": version,

	"InternalServiceError": internal, "InternalServiceErrorException": internal, "InternalServerError": internal, "InternalFailure": internal, "ServiceUnavailable": internal, "ServiceUnavailableException": internal,
}

// explain returns what an error of the SDK means. Of an answer only its code and status are kept; its message is looked at to tell cases apart that have one code.
func explain(ctx context.Context, err error) *provider.Error {
	if e, ok := errors.AsType[*provider.Error](err); ok { // of the login
		return e
	}
	resp, answered := errors.AsType[*smithyhttp.ResponseError](err)
	answered = answered && resp.HTTPResponse() != nil && resp.HTTPStatusCode() >= http.StatusMultipleChoices
	if ctx.Err() != nil || !answered {
		e := rest.Broken(ctx, "AWS", err)
		if _, malformed := errors.AsType[*smithy.DeserializationError](err); malformed && e.Reason == provider.ReasonUnreachable && e.Err == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswer, Message: "the answer is not that of AWS"}
		}
		return e
	}
	var code, message string
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	if m, ok := meaningOf(resp.HTTPStatusCode(), code, message); ok {
		return &provider.Error{Kind: m.kind, Reason: m.reason, Message: m.message, RetryAfter: rest.RetryAfter(resp.Response.Header)}
	}
	e := rest.Status("AWS", resp.HTTPStatusCode(), resp.Response.Header)
	switch e.Reason {
	case provider.ReasonRedirect:
		e.Message += ": check region and endpoint"
	case provider.ReasonRequestRejected:
		e.Message += ": check path, version and region"
	}
	return e
}

// meaningOf returns what AWS says of the secret or the credentials, or by a code of its own; false if that is nothing.
func meaningOf(status int, code, message string) (m meaning, ok bool) {
	switch {
	case code == "ResourceNotFoundException" && strings.Contains(message, "secret value for"):
		return version, true
	case code == "InvalidRequestException" && strings.Contains(message, "marked for deletion"), code == "InvalidRequestException" && strings.Contains(message, "marked deleted"):
		return meaning{provider.KindNotFound, provider.ReasonPath, "the secret is scheduled for deletion"}, true
	}
	if m, ok := meanings[code]; ok {
		return m, true
	}
	switch status {
	case http.StatusUnauthorized:
		return stranger, true
	case http.StatusForbidden:
		return permission, true
	}
	return meaning{}, false
}

// explainLogin is explain for a login, whose denials are all about the registry's identity.
func explainLogin(ctx context.Context, err error) *provider.Error {
	e := explain(ctx, err)
	if e.Kind == provider.KindDenied {
		e.Reason, e.Message = provider.ReasonCredentials, "AWS does not let the registry's service account assume the role: compare issuer, subject and audience in its trust policy"
	}
	return e
}
