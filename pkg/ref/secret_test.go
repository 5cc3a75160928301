// SPDX-License-Identifier: Apache-2.0

package ref_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/ref"
)

func TestParseSecret(t *testing.T) {
	stripe := ref.Secret{Org: "acme", Name: "stripe-api-key"}
	pinned := stripe
	pinned.Version = 12
	for name, tc := range map[string]struct {
		in   string
		want ref.Secret
		err  string
	}{
		"a secret":                   {in: "lanyard://acme/stripe-api-key", want: stripe},
		"a version of it":            {in: "lanyard://acme/stripe-api-key#12", want: pinned},
		"another scheme":             {in: "vault://acme/x", err: "must begin with lanyard://"},
		"a scheme in capitals":       {in: "LANYARD://acme/x", err: "must begin with lanyard://"},
		"white space before":         {in: " lanyard://acme/x", err: "must begin with lanyard://"},
		"nothing else":               {in: "lanyard://", err: "must be lanyard://<organization>/<secret>"},
		"no organization":            {in: "lanyard:///x", err: "organization slug is empty"},
		"no secret":                  {in: "lanyard://acme/", err: "name is empty"},
		"a path":                     {in: "lanyard://acme/a/b", err: `name "a/b" may hold`},
		"a way up":                   {in: "lanyard://acme/..", err: "begins with a letter or digit"},
		"an escape":                  {in: "lanyard://acme/a%20b", err: "may hold letters"},
		"a user and a host":          {in: "lanyard://a@acme/x", err: "may hold a-z"},
		"a query":                    {in: "lanyard://acme/x?version=1", err: "may hold letters"},
		"an expansion":               {in: "lanyard://acme/$(NAME)", err: "may hold letters"},
		"a trailing newline":         {in: "lanyard://acme/x\n", err: "may hold letters"},
		"an empty version":           {in: "lanyard://acme/x#", err: "a number from 1 on"},
		"version 0":                  {in: "lanyard://acme/x#0", err: "a number from 1 on"},
		"a version with a zero":      {in: "lanyard://acme/x#01", err: "a number from 1 on"},
		"a signed version":           {in: "lanyard://acme/x#+1", err: "a number from 1 on"},
		"a version that is a word":   {in: "lanyard://acme/x#latest", err: "a number from 1 on"},
		"two versions":               {in: "lanyard://acme/x#1#2", err: "a number from 1 on"},
		"a version beyond all":       {in: "lanyard://acme/x#99999999999999999999", err: "a number from 1 on"},
		"a version before the slash": {in: "lanyard://acme#1/x", err: "must be lanyard://<organization>/<secret>"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ref.ParseSecret(tc.in)
			if tc.err == "" {
				if err != nil || got != tc.want || got.String() != tc.in {
					t.Fatalf("ParseSecret(%q) = %v, %v; want %v", tc.in, got, err, tc.want)
				}
				return
			}
			if !errors.Is(err, ref.ErrSyntax) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("ParseSecret(%q) error = %v, want one that contains %q", tc.in, err, tc.err)
			}
		})
	}
}

// FuzzParseSecret demands that what parses has one spelling, keeps the grammar of its parts, and that errors stay short.
func FuzzParseSecret(f *testing.F) {
	f.Add("lanyard://acme/stripe-api-key#12")
	f.Add("lanyard://acme/x#018446744073709551616")
	f.Add("lanyard://a/" + strings.Repeat("x", 4096))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ref.ParseSecret(text)
		if err != nil {
			if !errors.Is(err, ref.ErrSyntax) || len(err.Error()) > 4096 {
				t.Errorf("error of %d bytes: %.200v", len(err.Error()), err)
			}
			return
		}
		if s.String() != text || ref.CheckSlug(s.Org) != nil || ref.CheckName(s.Name) != nil || !ref.IsInline(text) {
			t.Errorf("%q parsed as %+v", text, s)
		}
	})
}
