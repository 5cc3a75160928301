// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

// ExitCode is what the process ends with. The numbers never change.
type ExitCode int

// The exit codes.
const (
	OK          ExitCode = 0
	Failure     ExitCode = 1
	Usage       ExitCode = 2
	NotFound    ExitCode = 3
	Denied      ExitCode = 4
	Conflict    ExitCode = 5
	Unavailable ExitCode = 6
	CheckFailed ExitCode = 7
	ChainBroken ExitCode = 8
	Unrunnable  ExitCode = 126
	NoCommand   ExitCode = 127
	Interrupted ExitCode = 130
)

// ExitCodes is the catalogue, in the order of the documentation.
var ExitCodes = []struct {
	Code          ExitCode
	Name, Meaning string
}{
	{OK, "ok", "It is done."},
	{Failure, "failure", "It was refused as invalid, or failed in a way that has no code of its own."},
	{Usage, "usage", "The command line is wrong, or asks for what only a terminal can answer. Nothing was sent."},
	{NotFound, "not found", "The organization, secret, version, consumer, provider, member or token does not exist."},
	{Denied, "denied", "There is no token, it is not accepted, or its owner may not do this."},
	{Conflict, "conflict", "The name is taken, the object changed since it was read (`--if-match`), something refers to it, or a pod was not stopped."},
	{Unavailable, "unavailable", "The registry was not reached, or cannot answer now. The outcome of a change is unknown: look before trying again."},
	{CheckFailed, "check failed", "`secret check`, `provider test` or `explain` was carried out, and found that it does not work; or `run` found an ENV without a value, or no binding; or `doctor --cluster` found a failure."},
	{ChainBroken, "chain broken", "`audit verify` was carried out, and found that events were edited, dropped or reordered."},
	{Unrunnable, "unrunnable", "`run` found the command and cannot run it, as in a shell. Every other code of `run`, once the command runs, is the command's."},
	{NoCommand, "no command", "`run` did not find the command, as in a shell."},
	{Interrupted, "interrupted", "Ctrl-C or SIGTERM. As with 6, the outcome of a change is unknown."},
}

// failure is an error with its exit code and what else a person should be told.
type failure struct {
	code    ExitCode
	err     error
	hint    string
	problem *api.Problem // if the registry refused it
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// misuse is a mistake on the command line. hint may be empty.
func misuse(hint, format string, args ...any) error {
	return &failure{code: Usage, err: fmt.Errorf(format, args...), hint: hint}
}

// failed gives err an exit code and a hint.
func failed(code ExitCode, hint string, err error) error {
	return &failure{code: code, err: err, hint: hint}
}

// located says where err happened, and keeps what else is known of it.
func located(where string, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return fmt.Errorf("%s: %w", where, err)
	}
	there := *f
	there.err = fmt.Errorf("%s: %w", where, err)
	return &there
}

// codeOf is the exit code for err.
func codeOf(err error) ExitCode {
	var f *failure
	switch {
	case err == nil:
		return OK
	case errors.Is(err, context.Canceled): // only a signal cancels
		return Interrupted
	case errors.As(err, &f):
		return f.code
	}
	return Failure
}

// codeOfStatus is the exit code for a refusal of the registry.
func codeOfStatus(status int) ExitCode {
	switch status {
	case http.StatusNotFound:
		return NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusConflict, http.StatusPreconditionFailed:
		return Conflict
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	return Failure
}
