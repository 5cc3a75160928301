// SPDX-License-Identifier: Apache-2.0

package ref_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/ref"
)

func TestParseConsumer(t *testing.T) {
	tests := map[string]struct {
		in   string
		want ref.Consumer
		err  string
	}{
		"an organization and a consumer":          {in: "acme/billing", want: ref.Consumer{Org: "acme", Name: "billing"}},
		"a name with every allowed character":     {in: "a-1/B.c_d-9", want: ref.Consumer{Org: "a-1", Name: "B.c_d-9"}},
		"no slash":                                {in: "acme", err: `consumer reference "acme" must be <organization>/<consumer>`},
		"two slashes":                             {in: "acme/a/b", err: `name "a/b" may hold letters`},
		"an empty organization":                   {in: "/billing", err: "organization slug is empty"},
		"an empty name":                           {in: "acme/", err: "name is empty"},
		"an organization in capitals":             {in: "Acme/billing", err: `organization slug "Acme" may hold a-z`},
		"white space around":                      {in: " acme/billing", err: `organization slug " acme"`},
		"a trailing newline":                      {in: "acme/billing\n", err: `name "billing\n" may hold letters`},
		"a name that begins with a dot":           {in: "acme/..", err: "begins with a letter or digit"},
		"a slug that ends with a hyphen":          {in: "acme-/x", err: "not first or last"},
		"a letter of another alphabet (Cyrillic)": {in: "аcme/x", err: "may hold a-z"},
		"NUL": {in: "acme/x\x00", err: "may hold letters"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ref.ParseConsumer(tc.in)
			if tc.err == "" {
				if err != nil || got != tc.want {
					t.Fatalf("ParseConsumer(%q) = %v, %v; want %v", tc.in, got, err, tc.want)
				}
				if got.String() != tc.in {
					t.Errorf("String() = %q, want %q", got.String(), tc.in)
				}
				return
			}
			if !errors.Is(err, ref.ErrSyntax) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("ParseConsumer(%q) error = %v, want one that contains %q", tc.in, err, tc.err)
			}
		})
	}
}

func TestCheckEnvName(t *testing.T) {
	tests := map[string]struct{ in, err string }{
		"a usual name":                {"STRIPE_API_KEY", ""},
		"lower case":                  {"path", ""},
		"an underscore first":         {"_X", ""},
		"a digit first":               {"1X", "does not begin with a digit"},
		"a hyphen":                    {"A-B", "may hold letters"},
		"an equals sign":              {"A=B", "may hold letters"},
		"empty":                       {"", "is empty"},
		"too long":                    {strings.Repeat("A", ref.MaxEnvName+1), "longer than 128 bytes"},
		"the agent's own prefix":      {"LANYARD_URL", "belong to the init agent"},
		"the dynamic loader's prefix": {"LD_PRELOAD", "belong to the dynamic loader"},
		"a service variable":          {"KUBERNETES_SERVICE_HOST", "belong to the kubelet"},
		"PATH":                        {"PATH", "belongs to the container image"},
		"a name that holds PATH":      {"MY_PATH", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := ref.CheckEnvName(tc.in)
			if tc.err == "" && err != nil {
				t.Errorf("CheckEnvName(%q) = %v, want nil", tc.in, err)
			}
			if tc.err != "" && (!errors.Is(err, ref.ErrSyntax) || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("CheckEnvName(%q) = %v, want an error that contains %q", tc.in, err, tc.err)
			}
		})
	}
}

// FuzzNames compares the hand-written checks with the regular expressions of the documentation.
func FuzzNames(f *testing.F) {
	slug := regexp.MustCompile(`\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z`)
	name := regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z`)
	env := regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_]{0,127}\z`)
	for _, seed := range []string{"", "a", "-", "a-", "A", "acme", "a.b", "_", "1", "é", "a\n", "LANYARD_X", strings.Repeat("a", 64), strings.Repeat("a", 129)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := ref.CheckSlug(text) == nil, slug.MatchString(text); got != want {
			t.Errorf("CheckSlug(%q) accepts: %v, documented: %v", text, got, want)
		}
		if got, want := ref.CheckName(text) == nil, name.MatchString(text); got != want {
			t.Errorf("CheckName(%q) accepts: %v, documented: %v", text, got, want)
		}
		if ref.CheckEnvName(text) == nil && !env.MatchString(text) {
			t.Errorf("CheckEnvName accepts %q, which is not a POSIX name", text)
		}
		if c, err := ref.ParseConsumer(text); err == nil && c.String() != text {
			t.Errorf("ParseConsumer(%q) reads back as %q", text, c)
		}
	})
}
