// SPDX-License-Identifier: Apache-2.0

package claimrule_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authn/claimrule"
)

func TestARuleSaysWhoseJobsItMeans(t *testing.T) {
	for name, tc := range map[string]struct {
		claims map[string]string
		claim  string // what is at fault
		code   string // "": nothing
	}{
		"GitHub, one branch":                 {map[string]string{"sub": "repo:acme/app:ref:refs/heads/main"}, "", ""},
		"GitHub, one repository":             {map[string]string{"sub": "repo:acme/app:*"}, "", ""},
		"GitHub, one owner":                  {map[string]string{"sub": "repo:acme/*"}, "", ""},
		"GitHub, repository and environment": {map[string]string{"repository": "acme/app", "environment": "production"}, "", ""},
		"GitHub, the owner's id":             {map[string]string{"repository_owner_id": "65", "ref": "refs/heads/release/*"}, "", ""},
		"GitLab, one project":                {map[string]string{"project_path": "acme/app", "ref_protected": "true"}, "", ""},
		"GitLab, a group":                    {map[string]string{"sub": "project_path:acme/*:ref_type:branch:ref:main"}, "", ""},
		"a service account of Kubernetes":    {map[string]string{"sub": "system:serviceaccount:ci:deployer"}, "", ""},
		"service accounts of one namespace":  {map[string]string{"sub": "system:serviceaccount:ci:*"}, "", ""},
		"nothing":                            {nil, "", "required"},
		"a branch of anybody's":              {map[string]string{"ref": "refs/heads/main"}, "", "required"},
		"an audience is no owner":            {map[string]string{"aud": "x", "sub": "repo:acme/app:x"}, "aud", "reserved"},
		"an issuer":                          {map[string]string{"iss": "https://x.example", "sub": "repo:acme/app:x"}, "iss", "reserved"},
		"everything":                         {map[string]string{"sub": "*"}, "sub", "syntax"},
		"whatever ends so":                   {map[string]string{"sub": "*:ref:refs/heads/main"}, "sub", "syntax"},
		"two stars":                          {map[string]string{"sub": "repo:acme/**"}, "sub", "syntax"},
		"every repository of GitHub":         {map[string]string{"sub": "repo:*"}, "sub", "too_wide"},
		"owners that begin alike":            {map[string]string{"sub": "repo:acme*"}, "sub", "too_wide"},
		"every owner's app":                  {map[string]string{"sub": "repo:*/app:ref:refs/heads/main"}, "sub", "too_wide"},
		"every organization":                 {map[string]string{"sub": "organization:*"}, "sub", "too_wide"},
		"every service account":              {map[string]string{"sub": "system:serviceaccount:*"}, "sub", "too_wide"},
		"every repository":                   {map[string]string{"repository": "a*"}, "repository", "too_wide"},
		"owners":                             {map[string]string{"repository_owner": "acme*"}, "repository_owner", "too_wide"},
		"ids that begin alike":               {map[string]string{"project_id": "12*"}, "project_id", "too_wide"},
		"any ref, of an owner":               {map[string]string{"repository_owner": "acme", "ref": "*"}, "ref", "syntax"},
		"an empty text":                      {map[string]string{"sub": ""}, "sub", "required"},
		"an empty name":                      {map[string]string{"": "x"}, "", "syntax"},
		"a name with a blank":                {map[string]string{"s ub": "x"}, "s ub", "syntax"},
		"a control character":                {map[string]string{"sub": "repo:acme/app\n"}, "sub", "syntax"},
		"a long text":                        {map[string]string{"sub": strings.Repeat("x", 513)}, "sub", "syntax"},
	} {
		err := claimrule.Check(tc.claims)
		fault, broken := errors.AsType[*claimrule.Error](err)
		switch {
		case tc.code == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.code != "" && (!broken || fault.Code != tc.code || fault.Claim != tc.claim):
			t.Errorf("%s: got %+v, want %s of %q", name, err, tc.code, tc.claim)
		}
	}
	many := map[string]string{"sub": "repo:acme/app:x"}
	for i := range claimrule.MaxClaims {
		many[strings.Repeat("x", i+1)] = "y"
	}
	if err := claimrule.Check(many); err == nil {
		t.Error("there is no limit")
	}
}

func TestATokenMatchesOrDoesNot(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern string
		claim   any
		want    bool
	}{
		"equal":                              {"repo:acme/app:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true},
		"another case":                       {"repo:acme/app", "repo:Acme/app", false},
		"longer":                             {"repo:acme/app", "repo:acme/app2", false},
		"shorter":                            {"repo:acme/app", "repo:acme/ap", false},
		"the rest":                           {"repo:acme/*", "repo:acme/app:ref:refs/heads/main", true},
		"no rest":                            {"repo:acme/*", "repo:acme/", false},
		"another owner":                      {"repo:acme/*", "repo:acme-evil/app:x", false},
		"a part":                             {"repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true},
		"an empty part":                      {"repo:acme/*:ref:refs/heads/main", "repo:acme/:ref:refs/heads/main", false},
		"an environment that plays a branch": {"repo:acme/*:ref:refs/heads/main", "repo:acme/app:environment:x:ref:refs/heads/main", false},
		"a branch that plays a part":         {"repo:acme/*:ref:main", "repo:acme/app/x:ref:main", false},
		"a part that needs a second look":    {"v-*-x", "v-1-x-x", true},
		"a part that is not there":           {"v-*-x*", "v-1", false},
		"the end of the text":                {"v-*-x*", "v-", false},
		"two parts":                          {"p:acme/*:type:*:ref:main", "p:acme/app:type:branch:ref:main", true},
		"a number":                           {"65", json.Number("65"), true},
		"a boolean":                          {"true", true, true},
		"another boolean":                    {"true", false, false},
		"a list":                             {"x", []any{"x"}, false},
		"nothing":                            {"x", nil, false},
		"null is not a text":                 {"null", nil, false},
	} {
		claim, ok := claimrule.Match(map[string]string{"sub": tc.pattern}, map[string]any{"sub": tc.claim})
		if ok != tc.want || !ok && claim != "sub" {
			t.Errorf("%s: %q of %v is %v", name, tc.pattern, tc.claim, ok)
		}
	}
	if claim, ok := claimrule.Match(map[string]string{"ref": "main", "sub": "s"}, map[string]any{"ref": "x", "sub": "s"}); ok || claim != "ref" {
		t.Errorf("got %q, %v", claim, ok)
	}
	if _, ok := claimrule.Match(nil, map[string]any{"sub": "s"}); ok {
		t.Error("no rule matches")
	}
}
