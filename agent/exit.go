// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/http"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
	"github.com/lanyard-dev/lanyard/agent/internal/projection"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// An Exit is the exit code of the process. The set is closed: [Exits] lists it, and docs/exit-codes.md is compared with it.
type Exit int

// The exit codes. Their numbers never change.
const (
	ExitOK              Exit = 0
	ExitUnauthenticated Exit = 10
	ExitDenied          Exit = 11
	ExitUnreachable     Exit = 12
	ExitConfiguration   Exit = 13
	ExitWriting         Exit = 14
	ExitUnresolved      Exit = 15
	ExitUnrepresentable Exit = 16
	ExitProtocol        Exit = 17
	ExitNode            Exit = 18
	ExitValues          Exit = 19
	ExitRestart         Exit = podspec.ExitRestart
	ExitUnrunnable      Exit = 126 // as a shell would say it
	ExitNotFound        Exit = 127 // as a shell would say it
	ExitSignal          Exit = 143 // 128 + SIGTERM, as a shell would say it
)

// ExitInfo describes an [Exit].
type ExitInfo struct {
	Exit    Exit
	Name    string
	Meaning string
	Fix     string
}

// Exits is the table of exit codes, in numerical order.
var Exits = []ExitInfo{
	{ExitOK, "ok", "Every value asked for is written.", "Nothing."},
	{ExitUnauthenticated, "unauthenticated", "The registry does not accept the pod's token, also not after reading it again.", "Recreate the pod. If it happens to every pod, compare the audience of the injector with that of the registry."},
	{ExitDenied, "denied", "The registry knows the pod and gives it nothing: no binding, a pod being deleted, or a node that cannot deliver values this way.", "See the reason code in the termination message."},
	{ExitUnreachable, "unreachable", "The deadline passed without an answer: no connection, a certificate that does not verify, or a registry that is overloaded or misses something it needs.", "See the last try in the log. The kubelet starts the init agent again."},
	{ExitConfiguration, "configuration", "The agent's own configuration is wrong: an ENV variable, an argument or the token file.", "Recreate the pod. If it happens again, compare the versions of injector and init agent, and look for another webhook that changes the init container."},
	{ExitWriting, "writing", "The files could not be written: the volume is full, read-only or missing.", "See the termination message. Raise the size limit of the volume if it is full."},
	{ExitUnresolved, "unresolved", "At least one ENV has no value.", "See the reason code of each ENV in the termination message."},
	{ExitUnrepresentable, "unrepresentable", "At least one value cannot be handed over unchanged by the container's delivery, or all of them together are too long for it.", "Use another delivery, or another encoding of the value."},
	{ExitProtocol, "protocol", "The answer is malformed, not complete or not the registry's, or the registry takes the request for malformed.", "Use an init agent no newer than the registry, and check what listens at LANYARD_URL."},
	{ExitNode, "node", "The node's kubelet does not set ENVs from env files; found by the verifying init container.", "Upgrade the kubelet to 1.35 or later with its feature gate EnvFiles on, or keep opted-in pods off the node."},
	{ExitValues, "values", "In a container whose command is wrapped: the values cannot be read.", "Recreate the pod. If it happens again, look for another webhook that changes the container's volume mounts."},
	{ExitRestart, "restart", "In the sidecar: there are other values, they are written, and the pod's annotation lanyard.dev/refresh-restart wants its containers restarted for them.", "Nothing. The kubelet restarts all containers of the pod in place."},
	{ExitUnrunnable, "unrunnable", "In a container whose command is wrapped: the command was found and cannot be run, as in a shell.", "See the message: the command is not executable, not a program, or its arguments and ENVs are too long."},
	{ExitNotFound, "notfound", "In a container whose command is wrapped: the command was not found, as in a shell.", "Correct the container's command, its workingDir or its PATH."},
	{ExitSignal, "signal", "SIGTERM or SIGINT ended the agent before every value was written; none is. A sidecar that has written them ends with 0.", "Nothing. The pod is being deleted."},
}

// Info returns what is known of e. For a code outside the table only the number is.
func (e Exit) Info() ExitInfo {
	for _, info := range Exits {
		if info.Exit == e {
			return info
		}
	}
	return ExitInfo{Exit: e}
}

// A Failure is the error of [ConfigFromEnv], [Run], [Sidecar], [Verify] and [Exec].
type Failure struct {
	Exit Exit
	// Items are the ENVs that have no value, if that is the reason.
	Items []wire.ItemProblem
	// Err says why. It never holds a value or a token.
	Err error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// resolveFailure finds the exit code of an error of fetch.Client.Resolve. When the deadline passed, the last answer decides, so that "denied until the end"
// and "nobody there until the end" differ.
func resolveFailure(err error) *Failure {
	f := &Failure{Exit: ExitUnreachable, Err: err}
	var refusal *fetch.Refusal
	switch {
	case errors.Is(err, context.Canceled) && !errors.As(err, new(*fetch.Exhausted)):
		f.Exit = ExitSignal
	case errors.Is(err, fetch.ErrToken):
		f.Exit = ExitConfiguration
	case errors.Is(err, fetch.ErrProtocol):
		f.Exit = ExitProtocol
	case errors.As(err, &refusal):
		f.Exit = refusalExit(refusal)
		if refusal.Problem != nil {
			f.Items = refusal.Problem.Items
		}
	}
	return f
}

func refusalExit(r *fetch.Refusal) Exit {
	if r.Problem != nil {
		switch r.Problem.Code {
		case wire.CodeUnauthenticated:
			return ExitUnauthenticated
		case wire.CodeNotBound, wire.CodeNotGranted, wire.CodeDeliveryDenied, wire.CodePodNotEligible, wire.CodeNodeUnsupported:
			return ExitDenied
		case wire.CodeUnresolved:
			return ExitUnresolved
		case wire.CodeInvalid, wire.CodeTooLarge:
			return ExitProtocol
		}
		if r.Problem.Retryable() {
			return ExitUnreachable
		}
	}
	// A proxy, or a registry with codes we do not know: the status is all there is to go by.
	switch {
	case r.Status == http.StatusUnauthorized:
		return ExitUnauthenticated
	case r.Status == http.StatusForbidden:
		return ExitDenied
	case r.Status == http.StatusTooManyRequests, r.Status >= 500 && r.Problem == nil:
		return ExitUnreachable
	default:
		return ExitProtocol
	}
}

func writeFailure(err error) *Failure {
	f := &Failure{Exit: ExitWriting, Err: err}
	switch {
	case errors.Is(err, context.Canceled):
		f.Exit = ExitSignal
	case errors.Is(err, projection.ErrInvalid):
		f.Exit = ExitConfiguration
	}
	return f
}
