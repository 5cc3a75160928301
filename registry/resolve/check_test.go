// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestACheckTellsWhatAStartWouldAndKeepsTheValue(t *testing.T) {
	denied := &resolve.FetchError{Code: wire.CodeProviderDenied, Provider: "vault-prod", Reason: "permission", Message: "not that path"}
	for name, tc := range map[string]struct {
		id    string
		fetch error
		want  resolve.Outcome
	}{
		"a local secret":           {"s1", nil, resolve.Outcome{}},
		"one only exec can carry":  {"s3", nil, resolve.Outcome{NoEnvfile: "it contains a single quote"}},
		"one that is gone":         {"gone", nil, resolve.Outcome{Code: wire.CodeSecretMissing, Message: "the secret does not exist or was deleted"}},
		"one without a version":    {"s2", nil, resolve.Outcome{Code: wire.CodeVersionMissing, Message: "the secret has no active version"}},
		"one that does not verify": {"s6", nil, resolve.Outcome{Code: wire.CodeIntegrity, Message: "the stored record does not verify"}},
		"a remote secret":          {"r1", nil, resolve.Outcome{}},
		"a remote one, denied":     {"r1", denied, resolve.Outcome{Code: wire.CodeProviderDenied, Reason: "permission", Message: "not that path", Provider: "vault-prod"}},
		"a remote one, unknown why": {"r1", errors.New(canary), resolve.Outcome{
			Code: wire.CodeProviderUnavailable, Message: wire.CodeProviderUnavailable.Info().Meaning,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fetch = func(context.Context, string, store.Remote) (redact.Value, error) {
				if tc.fetch != nil {
					return redact.Value{}, tc.fetch
				}
				return w.hand(canary), nil
			}
			got, err := w.resolver(t).Check(t.Context(), "o1", tc.id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(fmt.Sprintf("%+v", got), canary) {
				t.Error("the outcome holds a value")
			}
			for _, v := range w.opened {
				if strings.Trim(string(v.Reveal()), "\x00") != "" {
					t.Error("a value was not wiped")
				}
			}
			if len(w.events)+len(w.denied) != 0 {
				t.Error("a check was recorded as a start")
			}
		})
	}
}

func TestACheckThatCannotFindOutSaysSo(t *testing.T) {
	w := newWorld()
	w.viewErr = fmt.Errorf("barrier: %w", store.ErrUnavailable)
	if _, err := w.resolver(t).Check(t.Context(), "o1", "stripe"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
