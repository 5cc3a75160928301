// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/provider"
)

// Broken explains why a request of a [Client] has no answer, or none to its end; server is how its message calls the other side. Of the causes only those are kept that the peer cannot put
// words into: net/http quotes malformed answers, and TLS quotes certificates.
func Broken(ctx context.Context, server string, err error) *provider.Error {
	e := &provider.Error{Kind: provider.KindUnavailable, Reason: provider.ReasonUnreachable, Message: "the connection to " + server + " broke"}
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
		e.Kind, e.Reason, e.Message = provider.KindInvalid, provider.ReasonAddress, "the host of "+server+" leads to an address the operator does not allow"
		e.Err = egress.ErrDenied
	case errors.Is(err, errTooLarge):
		e.Kind, e.Reason, e.Message = provider.KindInvalid, provider.ReasonAnswerTooLarge, fmt.Sprintf("the answer has more than %d bytes", provider.MaxAnswer)
	case errors.Is(err, errEncoded):
		e.Kind, e.Reason, e.Message = provider.KindInvalid, provider.ReasonAnswer, "the answer is compressed though nobody asked for it"
	case ctx.Err() != nil:
		e.Reason, e.Message, e.Err = provider.ReasonTimeout, server+" did not answer in time", ctx.Err()
	case errors.As(err, &authority):
		e.Reason, e.Message = provider.ReasonTLS, "the certificate of "+server+" is signed by an authority that ca_bundle does not hold"
	case errors.As(err, &hostname):
		e.Reason, e.Message = provider.ReasonTLS, "the certificate of "+server+" is for another host: correct the address, or tls_server_name if the type has it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Reason, e.Message = provider.ReasonTLS, "the certificate of "+server+" has expired or is not valid yet"
	case errors.As(err, &verify), errors.As(err, &invalid):
		e.Reason, e.Message = provider.ReasonTLS, "the certificate of "+server+" is not accepted"
	case errors.As(err, &record):
		e.Reason, e.Message = provider.ReasonTLS, "there is no TLS at the address of "+server
	case errors.As(err, &lookup):
		e.Message, e.Err = "the name of the host of "+server+" cannot be resolved", lookup
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Reason, e.Message = provider.ReasonTimeout, server+" did not answer in time"
	case errors.As(err, &operation):
		e.Message, e.Err = server+" cannot be reached", operation
	}
	return e
}
