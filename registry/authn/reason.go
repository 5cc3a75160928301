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
	ProviderToken     Reason = "provider_token"
)

// Reasons that lie with us or the API server.
const (
	Overloaded        Reason = "overloaded"
	ReviewUnavailable Reason = "review_unavailable"
	PodUnavailable    Reason = "pod_unavailable"
	NodeUnavailable   Reason = "node_unavailable"
	Disabled          Reason = "disabled"        // no cluster is configured
	BudgetExceeded    Reason = "budget_exceeded" // found by the workload listener, after the token was accepted
)

// ReasonInfo describes a [Reason].
type ReasonInfo struct {
	Reason  Reason
	Code    wire.Code // what the caller is told
	Meaning string
}

// Reasons is the catalogue, in the order of docs/reasons-tokens.md, which is generated from it.
var Reasons = []ReasonInfo{
	{TokenTooLong, wire.CodeTooLarge, "The token is longer than any the API server makes."},
	{TokenMalformed, wire.CodeUnauthenticated, "The token is no signed JWT, or there is none."},
	{TokenAlgorithm, wire.CodeUnauthenticated, "The token names an algorithm that is not asymmetric."},
	{TokenAudience, wire.CodeUnauthenticated, "The token is not for this registry's audience. Compare the injector's `--audience` with the registry's."},
	{TokenExpired, wire.CodeUnauthenticated, "The token has expired. If it is fresh, compare the clocks."},
	{TokenNotYetValid, wire.CodeUnauthenticated, "The token is not valid yet. Compare the clocks."},
	{TokenSubject, wire.CodeUnauthenticated, "The token's subject is no service account."},
	{ReviewRefused, wire.CodeUnauthenticated, "The API server does not accept the token: its pod or service account is gone, or it was made elsewhere."},
	{ReviewAudience, wire.CodeUnauthenticated, "The API server accepts the token, but for another audience."},
	{ReviewUsername, wire.CodeUnauthenticated, "The API server says that the token is of no service account."},
	{ReviewUnbound, wire.CodeUnauthenticated, "The token is not bound to exactly one pod and node, as tokens are that the kubelet fetched."},
	{PodGone, wire.CodeUnauthenticated, "The token's pod does not exist any more."},
	{PodReplaced, wire.CodeUnauthenticated, "Another pod has the name of the token's pod."},
	{PodServiceAccount, wire.CodeUnauthenticated, "The live pod has another service account than its token."},
	{PodNode, wire.CodeUnauthenticated, "The live pod is on another node than its token says."},
	{PodTerminating, wire.CodePodNotEligible, "The pod is being deleted."},
	{PodFinished, wire.CodePodNotEligible, "The pod has finished."},
	{NodeUnsupported, wire.CodeNodeUnsupported, "The pod's node cannot do the delivery, or is not known."},
	{NotInjector, wire.CodeUnauthenticated, "A good token asked for the consumers' names and is not the injector's. Compare `--injector-service-account`."},
	{ProviderToken, wire.CodeUnauthenticated, "A token that the pod sent along for a provider is not accepted by the API server for the provider's audience, or is not of the same pod. The log says which audience and why."},
	{Overloaded, wire.CodeOverloaded, "More requests than are worked on at once."},
	{ReviewUnavailable, wire.CodeAuthUnavailable, "The API server could not be asked about the token."},
	{PodUnavailable, wire.CodeAuthUnavailable, "The API server could not be asked about the pod."},
	{NodeUnavailable, wire.CodeAuthUnavailable, "The API server could not be asked about the node."},
	{Disabled, wire.CodeAuthUnavailable, "The registry runs without a cluster , so no pod can authenticate."},
	{BudgetExceeded, wire.CodeOverloaded, "The pod has received its values too often within the hour."},
}

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
