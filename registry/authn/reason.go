// SPDX-License-Identifier: Apache-2.0

package authn

import "github.com/lanyard-dev/lanyard/pkg/wire"

// A Reason says precisely why a credential was refused. The set is closed. Reasons are for the operator's eyes: telling them to the caller would help to
// forge the next token.
type Reason string

// Reasons that lie in the token itself, found before the API server is asked.
const (
	TokenTooLong     Reason = "token_too_long"
	TokenMalformed   Reason = "token_malformed"
	TokenAlgorithm   Reason = "token_algorithm"
	TokenAudience    Reason = "token_audience"
	TokenExpired     Reason = "token_expired"
	TokenNotYetValid Reason = "token_not_yet_valid"
	TokenSubject     Reason = "token_subject"
)

// Reasons that lie in the TokenReview's answer.
const (
	ReviewRefused  Reason = "review_refused"  // not authenticated, or authenticated with an error
	ReviewAudience Reason = "review_audience" // authenticated, but not for our audience
	ReviewUsername Reason = "review_username" // not a service account
	ReviewUnbound  Reason = "review_unbound"  // not bound to exactly one pod, node and credential
)

// Reasons that lie in the live pod and its node.
const (
	PodGone           Reason = "pod_gone"
	PodReplaced       Reason = "pod_replaced" // another pod of the same name
	PodServiceAccount Reason = "pod_service_account"
	PodNode           Reason = "pod_node"
	PodTerminating    Reason = "pod_terminating"
	PodFinished       Reason = "pod_finished"
	NodeUnsupported   Reason = "node_unsupported"
	NotInjector       Reason = "not_injector" // a good token, but not of the injector
)

// Reasons that lie with us or the API server.
const (
	Overloaded        Reason = "overloaded"
	ReviewUnavailable Reason = "review_unavailable"
	PodUnavailable    Reason = "pod_unavailable"
	NodeUnavailable   Reason = "node_unavailable"
	Disabled          Reason = "disabled" // no cluster is configured
)

// Error is the refusal of a credential. It never contains a token.
type Error struct {
	Code    wire.Code // what the caller is told
	Message string    // goes with Code; equal for all errors of CodeUnauthenticated
	Reason  Reason    // for log, metrics and audit only
	Err     error     // the cause, if something failed; for the log only
}

func (e *Error) Error() string {
	if e.Err != nil {
		return string(e.Reason) + ": " + e.Err.Error()
	}
	return string(e.Reason)
}

func (e *Error) Unwrap() error { return e.Err }

// messages are what callers are told with each code, whatever the reason.
var messages = map[wire.Code]string{ // :: code → text
	wire.CodeUnauthenticated: "the token was not accepted",
	wire.CodeTooLarge:        "the token exceeds its limit",
	wire.CodePodNotEligible:  "the pod is being deleted or has finished",
	wire.CodeNodeUnsupported: "the pod's node is not known, so that it may not be able to do the delivery",
	wire.CodeOverloaded:      "too many tokens are being checked",
	wire.CodeAuthUnavailable: "the Kubernetes API server could not be asked",
}

func refuse(code wire.Code, reason Reason, err error) *Error {
	return &Error{Code: code, Message: messages[code], Reason: reason, Err: err}
}

func reject(reason Reason) *Error { return refuse(wire.CodeUnauthenticated, reason, nil) }
