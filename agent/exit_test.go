// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/agent/internal/fetch"
	"github.com/lanyard-dev/lanyard/agent/internal/projection"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func refusal(status int, code wire.Code) error {
	return &fetch.Refusal{Status: status, Problem: &wire.Problem{Code: code}}
}

func exitOfCode(info wire.CodeInfo) Exit { return resolveFailure(refusal(info.Status, info.Code)).Exit }

func TestExitCodes(t *testing.T) {
	until := func(last error) error { return &fetch.Exhausted{Tries: 9, Last: last} }
	for name, tc := range map[string]struct {
		err  error
		want Exit
	}{
		"the token is not accepted":               {refusal(401, wire.CodeUnauthenticated), ExitUnauthenticated},
		"a proxy wants another token":             {&fetch.Refusal{Status: 401}, ExitUnauthenticated},
		"no grant":                                {refusal(403, wire.CodeNotGranted), ExitDenied},
		"no such delivery":                        {refusal(403, wire.CodeDeliveryDenied), ExitDenied},
		"no binding":                              {refusal(403, wire.CodeNotBound), ExitDenied},
		"a proxy forbids it":                      {&fetch.Refusal{Status: 403}, ExitDenied},
		"a newer registry forbids it":             {refusal(403, "brand_new"), ExitDenied},
		"an old node":                             {refusal(409, wire.CodeNodeUnsupported), ExitDenied},
		"a deleted pod until the deadline":        {until(refusal(409, wire.CodePodNotEligible)), ExitDenied},
		"nobody there until the deadline":         {until(io.EOF), ExitUnreachable},
		"overloaded until the deadline":           {until(refusal(429, wire.CodeOverloaded)), ExitUnreachable},
		"no audit until the deadline":             {until(refusal(503, wire.CodeAuditUnavailable)), ExitUnreachable},
		"a proxy's 502 until the deadline":        {until(&fetch.Refusal{Status: 502}), ExitUnreachable},
		"the last answer was cut short":           {until(context.DeadlineExceeded), ExitUnreachable},
		"a provider that is down to the deadline": {until(refusal(424, wire.CodeUnresolved)), ExitUnresolved},
		"a missing secret":                        {refusal(424, wire.CodeUnresolved), ExitUnresolved},
		"no token":                                {fmt.Errorf("%w: empty", fetch.ErrToken), ExitConfiguration},
		"half an answer":                          {fmt.Errorf("%w: half", fetch.ErrProtocol), ExitProtocol},
		"a request it does not know":              {refusal(400, wire.CodeInvalid), ExitProtocol},
		"a page that is not there":                {&fetch.Refusal{Status: 404}, ExitProtocol},
		"a newer registry's reason":               {refusal(422, "brand_new"), ExitProtocol},
		"a signal":                                {fmt.Errorf("resolving: %w", context.Canceled), ExitSignal},
	} {
		t.Run(name, func(t *testing.T) {
			if got := resolveFailure(tc.err).Exit; got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
	if got := writeFailure(io.ErrShortWrite).Exit; got != ExitWriting {
		t.Errorf("a short write exits %d", got)
	}
	if got := writeFailure(fmt.Errorf("x: %w", projection.ErrInvalid)).Exit; got != ExitConfiguration {
		t.Errorf("a bad set of files exits %d", got)
	}
	if got := writeFailure(context.Canceled).Exit; got != ExitSignal {
		t.Errorf("a signal while writing exits %d", got)
	}
}

func TestTerminationMessage(t *testing.T) {
	f := resolveFailure(&fetch.Refusal{Status: 424, Problem: &wire.Problem{
		Code: wire.CodeUnresolved, Message: "2 of 3 ENVs have no value", RequestID: "r-17",
		Items: []wire.ItemProblem{
			{Container: "app", Env: "STRIPE_KEY", Secret: "stripe", Provider: "vault-prod", Code: wire.CodeProviderDenied, Message: "permission denied."},
			{Container: "app", Env: "DB", Secret: "db", Code: wire.CodeSecretMissing},
		},
	}})
	want := "lanyard: no values written: unresolved: 2 of 3 ENVs have no value. Fix: See the code of each item. (exit code 15, unresolved, request id r-17)\n" +
		"STRIPE_KEY of container app, secret stripe, provider vault-prod: provider_denied: permission denied. Fix: Correct the provider's credentials or policy.\n" +
		"DB of container app, secret db: secret_missing: The secret this ENV refers to does not exist or was deleted. Fix: Undelete the secret, or change the consumer's ENV.\n"
	if got := terminationMessage(f); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTerminationMessageIsCutBetweenLines(t *testing.T) {
	for _, n := range []int{0, 1, 26, 27, 28, 29, 30, wire.MaxEnvs} {
		f := &Failure{Exit: ExitUnresolved, Err: errors.New("x")}
		for i := range n {
			f.Items = append(f.Items, wire.ItemProblem{Container: "app", Env: fmt.Sprintf("E%03d", i), Code: wire.CodeIntegrity, Message: "m"})
		}
		got := terminationMessage(f)
		if len(got) > MaxTerminationMessage || !strings.HasSuffix(got, "\n") {
			t.Errorf("%d items: %d bytes", n, len(got))
		}
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		missing := 0
		if _, err := fmt.Sscanf(lines[len(lines)-1], "and %d more", &missing); err == nil {
			lines = lines[:len(lines)-1]
		}
		if len(lines)-1+missing != n {
			t.Errorf("%d items became %d lines and %d missing", n, len(lines)-1, missing)
		}
		for _, line := range lines[1:] {
			if !strings.HasSuffix(line, "etcd.") {
				t.Errorf("cut within a line: %q", line)
			}
		}
	}
	long := terminationMessage(&Failure{Exit: ExitProtocol, Err: errors.New(strings.Repeat("é", 5000))})
	if len(long) > MaxTerminationMessage {
		t.Errorf("a long first line makes %d bytes", len(long))
	}
}
