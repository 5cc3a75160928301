// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authz"
)

func TestDecide(t *testing.T) {
	var anonymous authz.Principal
	admin := authz.Principal{Type: "token", ID: "bootstrap", Admin: true}
	alice := authz.Principal{Type: "user", ID: "alice"}
	for name, tc := range map[string]struct {
		principal authz.Principal
		there     authz.Standing
		operation string
		want      authz.Decision
	}{
		"the document is for anyone":                            {anonymous, authz.NoOrganization, "getOpenAPI", authz.Allowed},
		"nobody else is served without a credential":            {anonymous, authz.NoOrganization, "listSecrets", authz.Unauthenticated},
		"nobody is served without a credential, whatever he is": {anonymous, authz.OwnerThere, "listSecrets", authz.Unauthenticated},
		"anybody may ask who he is":                             {alice, authz.NoOrganization, "getMe", authz.Allowed},
		"to a stranger an organization is hidden":               {alice, authz.Stranger, "listSecrets", authz.Hidden},
		"to a stranger it is hidden also where owners write":    {alice, authz.Stranger, "createSecret", authz.Hidden},
		"to a stranger it is hidden also where admins act":      {alice, authz.Stranger, "deleteOrganization", authz.Hidden},
		"a member reads":                                 {alice, authz.MemberThere, "listSecrets", authz.Allowed},
		"a member writes nothing":                        {alice, authz.MemberThere, "createSecret", authz.Denied},
		"a member reads no audit log":                    {alice, authz.MemberThere, "listAuditEvents", authz.Denied},
		"an owner reads":                                 {alice, authz.OwnerThere, "listSecrets", authz.Allowed},
		"an owner writes":                                {alice, authz.OwnerThere, "createSecret", authz.Allowed},
		"an owner does not delete the organization":      {alice, authz.OwnerThere, "deleteOrganization", authz.Denied},
		"an owner creates no organization":               {alice, authz.NoOrganization, "createOrganization", authz.Denied},
		"where no standing was found nothing is read":    {alice, authz.NoOrganization, "listSecrets", authz.Denied},
		"an administrator writes":                        {admin, authz.NoOrganization, "createSecret", authz.Allowed},
		"an operation without a rule is denied":          {admin, authz.NoOrganization, "revealSecret", authz.Denied},
		"an operation without a rule tells nobody of it": {anonymous, authz.NoOrganization, "revealSecret", authz.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			if got := authz.Decide(tc.principal, tc.there, tc.operation); got != tc.want {
				t.Errorf("decision = %v, want %v", got, tc.want)
			}
		})
	}
}

// More standing never takes a right away, and no standing at all gives none.
func TestRightsGrowWithStanding(t *testing.T) {
	p := authz.Principal{Type: "user", ID: "alice"}
	for operation, rule := range authz.Rules {
		allowed := false
		for _, there := range []authz.Standing{authz.Stranger, authz.MemberThere, authz.OwnerThere} {
			now := authz.Decide(p, there, operation) == authz.Allowed
			if allowed && !now {
				t.Errorf("%s is allowed, but not to standing %d", operation, there)
			}
			allowed = now
		}
		if none := authz.Decide(p, authz.NoOrganization, operation); none == authz.Allowed && rule.Needs > authz.Authenticated {
			t.Errorf("%s is allowed to everybody", operation)
		}
		if authz.Decide(authz.Principal{Type: "token", ID: "bootstrap", Admin: true}, authz.NoOrganization, operation) != authz.Allowed {
			t.Errorf("%s is denied to administrators", operation)
		}
	}
}

func TestRolesWithoutMeaningInAnOrganizationStandForNothing(t *testing.T) {
	for _, role := range []authz.Role{authz.Nobody, authz.Anyone, authz.Authenticated, authz.Admin, 99} {
		if got := role.Standing(); got != authz.Stranger {
			t.Errorf("role %d stands for %d", role, got)
		}
	}
}

func TestEveryRuleIsWhole(t *testing.T) {
	for operation, rule := range authz.Rules {
		if rule.Action == "" || rule.Needs == authz.Nobody {
			t.Errorf("%s: %+v", operation, rule)
		}
	}
}
