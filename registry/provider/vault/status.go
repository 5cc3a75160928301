// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/provider"
)

// statusError is an answer that is not 200. The body is looked at to tell cases apart that have one status, and goes no further: it has no place in Error.
type statusError struct {
	status     int
	retryAfter time.Duration
	body       []byte
}

func (e *statusError) Error() string { return fmt.Sprintf("vault answered %d", e.status) }

func (e *statusError) says(text string) bool { return bytes.Contains(e.body, []byte(text)) }

// Statuses of Vault that net/http has no names for.
const (
	statusDRSecondary = 472
	statusPerfStandby = 473
)

// explain returns what an error of a request for a secret, or of a login, means. It is an [*provider.Error].
func explain(err error) *provider.Error {
	if e, ok := errors.AsType[*provider.Error](err); ok {
		return e
	}
	e, ok := errors.AsType[*statusError](err)
	if !ok {
		return &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonUnreachable, Message: "the request did not complete"}
	}
	unavailable := func(reason provider.Reason, message string) *provider.Error {
		return &provider.Error{Kind: provider.KindUnavailable, Reason: reason, Message: message, RetryAfter: e.retryAfter}
	}
	final := func(kind provider.Kind, reason provider.Reason, message string) *provider.Error {
		return &provider.Error{Kind: kind, Reason: reason, Message: message}
	}
	switch {
	case e.status >= 300 && e.status < 400:
		return unavailable(provider.ReasonRedirect, "Vault redirects, which is not followed: give the address of the active node, or of a load balancer that finds it")
	case e.status == http.StatusForbidden:
		return final(provider.KindDenied, provider.ReasonPermission, "Vault denies access: a policy of the credentials must allow to read this path")
	case e.status == http.StatusNotFound:
		return final(provider.KindNotFound, provider.ReasonPath, "Vault has nothing at this path")
	case e.status == http.StatusMethodNotAllowed:
		return final(provider.KindInvalid, provider.ReasonReference, "the engine at this path cannot be read from")
	case e.status == http.StatusTooManyRequests:
		return &provider.Error{Kind: provider.KindThrottled, Reason: provider.ReasonRateLimit, Message: "a rate limit quota of Vault is exceeded", RetryAfter: e.retryAfter}
	case e.status == statusDRSecondary, e.status == statusPerfStandby:
		return unavailable(provider.ReasonStandby, "this Vault node is a standby that does not serve reads")
	case e.status == http.StatusServiceUnavailable && e.says("sealed"):
		return unavailable(provider.ReasonSealed, "Vault is sealed")
	case e.says("Upgrading from non-versioned"):
		return unavailable(provider.ReasonServer, "Vault is upgrading this KV mount to version 2")
	case e.status >= 500, e.status == http.StatusRequestTimeout, e.status == http.StatusPreconditionFailed:
		return unavailable(provider.ReasonServer, fmt.Sprintf("Vault answers with status %d", e.status))
	default:
		return final(provider.KindInvalid, provider.ReasonRequestRejected, fmt.Sprintf("Vault rejects the request with status %d: check path and version", e.status))
	}
}

// networkError explains why there is no answer. Of the causes only those are kept that the peer cannot put words into: net/http quotes malformed answers, and TLS quotes certificates.
func networkError(ctx context.Context, err error) *provider.Error {
	e := &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonUnreachable, Message: "the connection to Vault broke"}
	var (
		timeout   net.Error
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		lookup    *net.DNSError
		operation *net.OpError
	)
	switch {
	case errors.Is(err, egress.ErrDenied):
		e.Kind, e.Reason, e.Message = provider.KindInvalid, provider.ReasonAddress, "the host of Vault leads to an address the operator does not allow"
		e.Err = egress.ErrDenied
	case errors.Is(err, errTooLarge):
		return tooLarge()
	case errors.Is(err, errEncoded):
		e.Kind, e.Reason, e.Message = provider.KindInvalid, provider.ReasonAnswer, "the answer is compressed though nobody asked for it"
	case ctx.Err() != nil:
		e.Reason, e.Message, e.Err = provider.ReasonTimeout, "Vault did not answer in time", ctx.Err()
	case errors.As(err, &authority):
		e.Reason, e.Message = provider.ReasonTLS, "Vault's certificate is signed by an authority that ca_bundle does not hold"
	case errors.As(err, &hostname):
		e.Reason, e.Message = provider.ReasonTLS, "Vault's certificate is for another host: set tls_server_name or correct the address"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Reason, e.Message = provider.ReasonTLS, "Vault's certificate has expired or is not valid yet"
	case errors.As(err, &verify), errors.As(err, &invalid):
		e.Reason, e.Message = provider.ReasonTLS, "Vault's certificate is not accepted"
	case errors.As(err, &record):
		e.Reason, e.Message = provider.ReasonTLS, "there is no TLS at Vault's address"
	case errors.As(err, &lookup):
		e.Message, e.Err = "the name of Vault's host cannot be resolved", lookup
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Reason, e.Message = provider.ReasonTimeout, "Vault did not answer in time"
	case errors.As(err, &operation):
		e.Message, e.Err = "Vault cannot be reached", operation
	}
	return e
}

func tooLarge() *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Reason: provider.ReasonAnswerTooLarge, Message: fmt.Sprintf("the answer has more than %d bytes", provider.MaxAnswer)}
}

// retryAfter reads the header of that name; 0 if it is missing or malformed.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
