// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
)

// told keeps what pods' owners are told.
type told []string

func (t *told) Refused(p authn.Principal, problem wire.Problem, refresh bool) {
	how := "start"
	if refresh {
		how = "refresh"
	}
	*t = append(*t, strings.Join([]string{how, p.Namespace, p.Pod, problem.Sentence()}, " "))
}

func TestOwnersAreToldOfAPodThatIsKnownAndGotNothing(t *testing.T) {
	refused := func(code wire.Code, items ...wire.ItemProblem) fixed {
		return fixed{refusal: &resolve.Refusal{Problem: wire.Problem{Code: code, Message: "message", Items: items}}}
	}
	const mark = `{"protocol":1,"mark":"AAAA","containers":[{"name":"app","consumer":"shop/web","delivery":"envfile","envs":["E0"]}]}`
	for name, tc := range map[string]struct {
		resolver fixed
		token    string
		body     string
		want     told
	}{
		"values":       {body: body(1)},
		"not bound":    {resolver: refused(wire.CodeNotBound), body: body(1), want: told{"start billing api-1 message [not_bound]. Fix: " + wire.CodeNotBound.Info().Fix}},
		"on a refresh": {resolver: refused(wire.CodeNotBound), body: mark, want: told{"refresh billing api-1 message [not_bound]. Fix: " + wire.CodeNotBound.Info().Fix}},
		"an item without a value": {resolver: refused(wire.CodeUnresolved, wire.ItemProblem{Container: "app", Env: "E0", Secret: "stripe", Code: wire.CodeVersionMissing, Message: "the secret has no active version"}), body: body(1),
			want: told{"start billing api-1 message [unresolved]; E0 of container app, secret stripe: version_missing: the secret has no active version Fix: Put a value, or activate a version"}},
		"an unknown token":  {token: "nonsense", body: body(1)},
		"a body that is no": {body: "{"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var got told
			w.config.Events = &got
			if tc.resolver.refusal != nil {
				w.config.Resolver = &tc.resolver
			}
			token := tc.token
			if token == "" {
				token = authntest.Good(w.cluster, "api-1")
			}
			do(w.handler(t), request(token, tc.body))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}
