// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/lanyard-dev/lanyard/internal/egress"
)

// A Kind is what kind of thing went wrong. They are label values of a metric.
type Kind string

// The kinds.
const (
	NotAllowed  Kind = "registry_not_allowed" // the operator did not name the registry
	Denied      Kind = "denied"               // by the registry, or there is no such image, or a pull secret cannot be read
	Unavailable Kind = "unavailable"          // nobody answered in time, or what was sent is of no use
	Ambiguous   Kind = "ambiguous"            // the architectures differ, or there is none
)

// An Error says why it is not known what an image runs. Its text is written here, but for names the pod or the operator gave: neither URLs, which may hold signatures, nor answers
// of registries are in it.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string { return e.Text }

func refused(kind Kind, format string, args ...any) *Error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// failed words what happened when host was asked.
func failed(host string, err error) *Error {
	var own *Error
	var answer *errcode.ErrorResponse
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errdef.ErrNotFound), errors.Is(err, auth.ErrBasicCredentialNotFound):
		return refused(Denied, "image registry %s does not show it", host)
	case errors.As(err, &answer):
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return refused(Denied, "image registry %s does not show it", host)
		case http.StatusTooManyRequests:
			return refused(Unavailable, "image registry %s answers no more requests for now (429)", host)
		}
		return refused(Unavailable, "image registry %s answered with status %d", host, answer.StatusCode)
	case errors.Is(err, errElsewhere), errors.Is(err, egress.ErrDenied):
		return refused(Unavailable, "image registry %s leads to an address that is not followed", host)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refused(Unavailable, "image registry %s did not answer in time", host)
	case errors.As(err, &certificate):
		return refused(Unavailable, "the certificate of image registry %s, or of where it leads, is not trusted", host)
	}
	return refused(Unavailable, "image registry %s could not be asked, or sent something else than what its digest says", host)
}
