// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// server is how messages call the other side.
const server = "Vault"

// statusError is an answer that is not 200. The body is looked at to tell cases apart that have one status, and goes no further: it has no place in Error.
type statusError struct {
	status int
	header http.Header
	body   []byte
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
		return &provider.Error{Kind: provider.KindUnavailable, Reason: reason, Message: message, RetryAfter: rest.RetryAfter(e.header)}
	}
	final := func(kind provider.Kind, reason provider.Reason, message string) *provider.Error {
		return &provider.Error{Kind: kind, Reason: reason, Message: message}
	}
	switch {
	case e.status == http.StatusForbidden:
		return final(provider.KindDenied, provider.ReasonPermission, "Vault denies access: a policy of the credentials must allow to read this path")
	case e.status == http.StatusNotFound:
		return final(provider.KindNotFound, provider.ReasonPath, "Vault has nothing at this path")
	case e.status == http.StatusMethodNotAllowed:
		return final(provider.KindInvalid, provider.ReasonReference, "the engine at this path cannot be read from")
	case e.status == statusDRSecondary, e.status == statusPerfStandby:
		return unavailable(provider.ReasonStandby, "this Vault node is a standby that does not serve reads")
	case e.status == http.StatusServiceUnavailable && e.says("sealed"):
		return unavailable(provider.ReasonSealed, "Vault is sealed")
	case e.says("Upgrading from non-versioned"):
		return unavailable(provider.ReasonServer, "Vault is upgrading this KV mount to version 2")
	case e.status == http.StatusPreconditionFailed:
		return unavailable(provider.ReasonServer, "this Vault node has not seen yet what another one wrote")
	}
	general := rest.Status(server, e.status, e.header)
	switch general.Reason {
	case provider.ReasonRedirect:
		general.Message += ": give the address of the active node, or of a load balancer that finds it"
	case provider.ReasonRequestRejected:
		general.Message += ": check path and version"
	}
	return general
}
