// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

var (
	// ErrProtocol is wrapped when the registry's answer is not what the protocol promises. Its text never quotes the answer.
	ErrProtocol = errors.New("unusable answer")
	// ErrToken is wrapped when the token file cannot be read or does not hold a token.
	ErrToken = errors.New("unusable token file")
)

// A Refusal is an answer other than 200.
type Refusal struct {
	Status int
	// Problem is nil when the body was not one, as with answers of proxies. Its strings are cleaned: one line each, bounded.
	Problem *wire.Problem
	// RetryAfter is how long the registry asks to be left alone; 0 if it does not say.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string {
	switch {
	case r.Problem == nil:
		return fmt.Sprintf("answer has status %d and no problem of ours: something other than the registry's workload listener may have answered", r.Status)
	case r.Problem.Message == "":
		return string(r.Problem.Code)
	default:
		return fmt.Sprintf("%s: %s", r.Problem.Code, r.Problem.Message)
	}
}

// Exhausted tells that the deadline passed before a try succeeded.
type Exhausted struct {
	Tries int
	Last  error // of the last try that was not cut short by the deadline, if there was one
}

func (e *Exhausted) Error() string {
	return fmt.Sprintf("deadline passed after %d tries, the last one: %v", e.Tries, e.Last)
}

func (e *Exhausted) Unwrap() error { return e.Last }

// connError is a failure below the protocol. Its text comes from describe, because errors of net/http may quote what the peer sent.
type connError struct {
	text string
	err  error
}

func (e *connError) Error() string { return e.text }
func (e *connError) Unwrap() error { return e.err }

func status(err error) int {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Status
	}
	return 0
}

func retryAfter(err error) time.Duration {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.RetryAfter
	}
	return 0
}

// retryable reports whether another try may end differently; see the table of the package. It does not know of the second chance of a 401.
func retryable(err error) bool {
	var (
		refusal *Refusal
		conn    *connError
	)
	switch {
	case errors.As(err, &refusal):
		switch {
		case refusal.Status == http.StatusTooManyRequests:
			return true
		case refusal.Problem != nil:
			return refusal.Problem.Retryable()
		default:
			return refusal.Status >= 500
		}
	case errors.As(err, &conn):
		return true
	default:
		return false
	}
}

var errConnectTimeout = fmt.Errorf("no connection within %v", ConnectTimeout)

// describe tells what went wrong on the way, from a closed list of errors that say nothing of what the peer sent.
func describe(err error, now time.Time) string {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		dns    *net.DNSError
		op     *net.OpError
	)
	switch {
	case errors.As(err, &cert):
		return "the registry's certificate is not accepted, which passes if it is being rotated: " + describeCertificate(cert, now)
	case errors.Is(err, errConnectTimeout):
		return errConnectTimeout.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no complete answer in time"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &record):
		return "the peer does not speak TLS"
	case errors.As(err, &alert):
		return alert.Error()
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &op):
		return op.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete"
	default:
		return "the peer does not answer in HTTP/1.1"
	}
}

func describeCertificate(cert *tls.CertificateVerificationError, now time.Time) string {
	var (
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
	)
	switch {
	case errors.As(cert.Err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("it is valid from %s to %s and the clock of this node says %s; compare the clock before the certificate",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case errors.As(cert.Err, &host):
		return clean("it is for another name; compare LANYARD_SERVER_NAME with it: " + host.Error())
	case errors.As(cert.Err, &unknown):
		return "no authority of LANYARD_CA signed it"
	default:
		return clean(cert.Err.Error())
	}
}

// clean makes foreign text fit for a log line and a termination message: one line of printable characters, at most 512 bytes.
func clean(text string) string {
	const limit = 512
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
