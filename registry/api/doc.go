// SPDX-License-Identifier: Apache-2.0

// Package api serves the administrators' API described by pkg/api/openapi.yaml. It is the only place that knows HTTP; what it does is done by the store.
//
// A request passes, in this order: request id and log → panic → security headers → rate limit → body cap → authentication → authorization → validation against
// the document → handler. Nothing of a body is read before the caller is known and may do what he asks.
//
// # What never leaves
//
// No handler can reach a value: [Store] has no method that returns one, and a [Checker] tells only whether there is one. No error repeats what was sent: validation reports pointers and rules, and the text
// of an error from elsewhere is shown only if it is one of the store's, which have no values in them. The log has names of operations, never a path, a query,
// a header or a body. Values that come in are strings for as long as a request is decoded; they become redact.Values in the handler and are wiped when it returns.
//
// # Growing
//
// A new operation is a path in the document, a row in authz.Rules and a method here. Without the row nobody may call it and a test fails; without the method
// nothing compiles.
package api
