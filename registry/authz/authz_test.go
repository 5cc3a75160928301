// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authz"
)

func TestDecide(t *testing.T) {
	var anonymous authz.Principal
	admin := authz.Principal{Type: "token", ID: "bootstrap", Admin: true}
	nobody := authz.Principal{Type: "token", ID: "other"}
	for name, tc := range map[string]struct {
		principal authz.Principal
		operation string
		want      authz.Decision
	}{
		"the document is for anyone":                     {anonymous, "getOpenAPI", authz.Allowed},
		"nobody else is served without a credential":     {anonymous, "listSecrets", authz.Unauthenticated},
		"anybody may ask who he is":                      {nobody, "getMe", authz.Allowed},
		"a principal without a role reads no metadata":   {nobody, "listSecrets", authz.Denied},
		"a principal without a role writes nothing":      {nobody, "createSecret", authz.Denied},
		"an administrator writes":                        {admin, "createSecret", authz.Allowed},
		"an operation without a rule is denied":          {admin, "revealSecret", authz.Denied},
		"an operation without a rule tells nobody of it": {anonymous, "revealSecret", authz.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			if got := authz.Decide(tc.principal, tc.operation); got != tc.want {
				t.Errorf("decision = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestEveryRuleIsWhole(t *testing.T) {
	for operation, rule := range authz.Rules {
		if rule.Action == "" || rule.Needs == authz.Nobody {
			t.Errorf("%s: %+v", operation, rule)
		}
	}
}
