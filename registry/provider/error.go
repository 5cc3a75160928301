// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Kind says what a caller can do about an error.
type Kind uint8

// The kinds.
const (
	KindUnavailable     Kind = iota + 1 // nobody answered, or with an error of the server's own: try again
	KindThrottled                       // too many requests, there or here: try again later
	KindNotFound                        // nothing at this path, version or key
	KindDenied                          // the server refuses the credentials or the path; or the record does not allow the path
	KindInvalid                         // the record, the reference or the answer cannot be used
	KindUnrepresentable                 // there is a value, but it cannot be handed on unchanged
)

var kinds = [...]struct {
	name string
	code wire.Code
}{
	KindUnavailable:     {"unavailable", wire.CodeProviderUnavailable},
	KindThrottled:       {"throttled", wire.CodeProviderThrottled},
	KindNotFound:        {"not_found", wire.CodeProviderNotFound},
	KindDenied:          {"denied", wire.CodeProviderDenied},
	KindInvalid:         {"invalid", wire.CodeProviderInvalid},
	KindUnrepresentable: {"unrepresentable", wire.CodeUnrepresentable},
}

// String returns the kind as metrics and logs name it.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kinds) {
		return "unknown"
	}
	return kinds[k].name
}

// Code returns the reason code of the resolve protocol.
func (k Kind) Code() wire.Code {
	if k == 0 || int(k) >= len(kinds) {
		return wire.CodeProviderUnavailable
	}
	return kinds[k].code
}

// Reason narrows a [Kind]. The set is closed; docs/providers.md explains each.
type Reason string

// The reasons.
const (
	ReasonUnreachable     Reason = "unreachable"      // refused, reset, no route, name not found
	ReasonTimeout         Reason = "timeout"          // no answer in time
	ReasonTLS             Reason = "tls"              // the server's certificate is not accepted
	ReasonAddress         Reason = "address_denied"   // the address guard refuses the server's address
	ReasonServer          Reason = "server_error"     // the server answers with an error of its own
	ReasonSealed          Reason = "sealed"           // Vault is sealed
	ReasonStandby         Reason = "standby"          // the server is not the active one
	ReasonRedirect        Reason = "redirect"         // the server redirects, which is never followed
	ReasonCircuitOpen     Reason = "circuit_open"     // too many failures in a row: not asked at all for a while
	ReasonClosed          Reason = "closed"           // the provider's record changed while the read was on the way
	ReasonRecord          Reason = "record"           // the provider's record, or the registry's own service account, could not be read
	ReasonLease           Reason = "lease"            // the lease could not be recorded, so its values were not used
	ReasonLeaseEnded      Reason = "lease_ended"      // the server does not know the lease, or will not extend it
	ReasonLeaseElsewhere  Reason = "lease_elsewhere"  // the lease is of a server that the record does not point to any more
	ReasonRateLimit       Reason = "rate_limited"     // the server asks for fewer requests
	ReasonBusy            Reason = "busy"             // as many reads as are allowed are on the way
	ReasonProvider        Reason = "provider_missing" // the organization has no such provider
	ReasonPath            Reason = "path_missing"     // nothing at the path
	ReasonKey             Reason = "key_missing"      // the secret has no such key
	ReasonVersion         Reason = "version_missing"  // no such version, or it was deleted or destroyed
	ReasonPermission      Reason = "permission"       // the credentials may not read the path
	ReasonCredentials     Reason = "credentials"      // the credentials are not accepted
	ReasonPodToken        Reason = "pod_token"        // the pod has no token of its own for the provider's audience
	ReasonPodRequired     Reason = "pod_required"     // only a pod can read, with its own identity, and there is none
	ReasonPrefix          Reason = "prefix"           // outside the provider's allowed prefixes
	ReasonConfig          Reason = "config"           // the provider's configuration breaks a rule
	ReasonReference       Reason = "reference"        // the secret's path, key or version breaks a rule
	ReasonAnswer          Reason = "answer"           // the answer cannot be parsed
	ReasonAnswerTooLarge  Reason = "answer_too_large" // above MaxAnswer
	ReasonValueTooLarge   Reason = "value_too_large"  // above wire.MaxValueBytes
	ReasonNotText         Reason = "not_text"         // a JSON string that is not valid Unicode
	ReasonNull            Reason = "null"             // the value is null
	ReasonRequestRejected Reason = "request_rejected" // the server does not understand the request
)

// Error is every error of a provider and of the [Manager]'s fetches.
type Error struct {
	Kind   Kind
	Reason Reason
	// Provider is the provider's name, once it is known.
	Provider string
	// Message tells people what is wrong and what to do. It quotes nothing the server sent.
	Message string
	// RetryAfter is when trying again makes sense; zero if that is not known.
	RetryAfter time.Duration
	// Err is the local cause, for the log; nil if the cause is the server's answer, which is never kept.
	Err error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s (%s): %s", e.Kind, e.Reason, e.Message)
	if e.Provider != "" {
		text = fmt.Sprintf("provider %q: %s", e.Provider, text)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Code returns the reason code of the resolve protocol.
func (e *Error) Code() wire.Code { return e.Kind.Code() }

// retryable reports whether asking again at once may help: the connection broke or a server behind a load balancer is going away. Sealed servers, timeouts and bad certificates do not heal in a blink.
func (e *Error) retryable() bool {
	return e.Kind == KindUnavailable && (e.Reason == ReasonUnreachable || e.Reason == ReasonServer)
}

// ErrNoRecord is wrapped by errors of [Records.Record] if there is no such provider in the organization.
var ErrNoRecord = errors.New("no such provider")

// Unread returns what reading from a provider fails with whose record could not be had. err is of a [Records].
func Unread(err error) *Error {
	if errors.Is(err, ErrNoRecord) {
		return &Error{Kind: KindNotFound, Reason: ReasonProvider, Message: "the organization has no such provider"}
	}
	return &Error{Kind: KindUnavailable, Reason: ReasonRecord, Message: "the provider's record could not be read", Err: err}
}

// asError returns err as an *Error. Providers return nothing else; an error of a context, or what a bug lets through, becomes unavailable.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Kind: KindUnavailable, Reason: ReasonTimeout, Message: "no answer in time", Err: err}
	}
	return &Error{Kind: KindUnavailable, Reason: ReasonUnreachable, Message: "the read ended early", Err: err}
}
