// SPDX-License-Identifier: Apache-2.0

// Package authn turns the service account token of a pod into a [Principal].
//
// The checks run from the cheapest to the dearest, and each one can only refuse:
//
//  1. The shape of the token: length, three parts, an algorithm Kubernetes signs with, exactly one audience and that ours, not expired, a service
//     account as subject. Nothing is verified here; it keeps garbage away from the API server.
//  2. A TokenReview for our audience. Identity comes from the answer's status alone, which must name our audience, one service account, and the pod, node
//     and credential the token is bound to.
//  3. The live pod: same UID, service account and node, not being deleted, not finished. It closes the minute in which the API server still accepts the
//     token of a deleted pod.
//
// A deleted service account whose pods live on is noticed by the API server alone, within the ten seconds it remembers tokens for. Removing the binding
// takes effect at once.
//
// Nothing is cached between requests. Requests that present the same token at the same moment share one TokenReview, each still looks at the pod.
//
// Every refusal is an [*Error]. What the caller is told is its Code, the same for every token that is no good; the precise Reason is for the log, metrics
// and the audit. A Kubernetes API that cannot answer refuses with wire.CodeAuthUnavailable: it neither allows nor blames the token.
//
// # RBAC
//
// create tokenreviews.authentication.k8s.io, get pods, and get nodes unless the node check is off.
package authn
