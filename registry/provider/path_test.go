// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

func TestPathsWithTwoReadingsAreRefused(t *testing.T) {
	for _, p := range []string{
		"", "/", "/kv/a", "kv/a/", "kv//a", "//", ".", "..", "...", "kv/..", "kv/../sys", "../kv", "kv/./a", "kv/.../a",
		"kv/%2e%2e/sys", "kv/%2fa", "kv%00", "kv/a%", "kv\\a", "kv/..\\sys", "kv/a?version=1", "kv/a#b", "kv/a\x00", "kv/a\n", "kv/a\r\nX: y", "kv/\ta",
		"kv/ a", "kv/a ", " kv/a", "kv/\u202ea", "kv/\u200ba", "kv/\ufeffa", "kv/\u00a0a", "kv/a\ufffd", "kv/\xff", "kv/\xc0\xae\xc0\xae/sys", "kv/\u2028a", "kv/\x7f",
		strings.Repeat("a", 513), strings.Repeat("a/", 32) + "a",
	} {
		if got, err := provider.CleanPath(p); err == nil || !errors.Is(err, provider.ErrPath) {
			t.Errorf("%q became %q, %v", p, got, err)
		}
	}
	for _, p := range []string{"kv", "kv/data/prod/db", "kv/a b", "kv/a.b..c/.d", "kv/größe", "kv/user@example.com", "kv/a:b,c;d=e+f*", "database/creds/app", strings.Repeat("a", 512)} {
		if got, err := provider.CleanPath(p); err != nil || got != p {
			t.Errorf("%q became %q, %v", p, got, err)
		}
	}
}

func TestPrefixesAreComparedBySegment(t *testing.T) {
	for name, tc := range map[string]struct {
		path     string
		prefixes []string
		want     bool
	}{
		"no prefixes allow everything":         {"kv/a", nil, true},
		"the prefix itself":                    {"kv/prod", []string{"kv/prod"}, true},
		"below the prefix":                     {"kv/prod/db", []string{"kv/prod"}, true},
		"a trailing slash means the same":      {"kv/prod/db", []string{"kv/prod/"}, true},
		"a longer name is another segment":     {"kv/production", []string{"kv/prod"}, false},
		"above the prefix":                     {"kv", []string{"kv/prod"}, false},
		"one of several":                       {"kv/b/x", []string{"kv/a", "kv/b"}, true},
		"an empty prefix allows nothing":       {"kv/a", []string{""}, false},
		"a slash allows nothing":               {"kv/a", []string{"/"}, false},
		"letters of the other case are others": {"kv/Prod/a", []string{"kv/prod"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := provider.Allowed(tc.path, tc.prefixes); got != tc.want {
				t.Errorf("Allowed = %v", got)
			}
		})
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, p := range []string{"kv/data/prod", "../a", "kv//a", "kv/%2e", "kv/a?b", "kv/a\x00", "/kv", "kv/größe"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got, err := provider.CleanPath(p)
		if err != nil {
			return
		}
		// What is accepted is accepted as it is, and everybody else's idea of a clean path is the same.
		if got != p || path.Clean("/"+p) != "/"+p || path.Join("/v1", p) != "/v1/"+p || strings.ContainsAny(p, "%?#\\\x00\r\n") {
			t.Fatalf("%q became %q", p, got)
		}
		if provider.Allowed(got, []string{"kv/prod"}) && got != "kv/prod" && !strings.HasPrefix(got, "kv/prod/") {
			t.Fatalf("%q is allowed below kv/prod", got)
		}
	})
}
