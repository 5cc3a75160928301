// SPDX-License-Identifier: Apache-2.0

package envfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/envfile"
)

func TestCheck(t *testing.T) {
	fits := envfile.MaxLine - len("A='") - len("'")
	tests := map[string]struct{ value, err string }{
		"a plain word":                       {"sk_live_1", ""},
		"spaces, dollar, double quotes":      {`  a b $HOME "x"=`, ""},
		"backslashes and hashes":             {`\n # not a comment`, ""},
		"several lines with a trailing one":  {"-----BEGIN X-----\nabc\n-----END X-----\n", ""},
		"UTF-8":                              {"pässwörd ✓ 鍵", ""},
		"a CR that no LF follows":            {"a\rb", ""},
		"the longest single line":            {strings.Repeat("x", fits), ""},
		"long, in many lines":                {strings.Repeat(strings.Repeat("x", 1023)+"\n", 100), ""},
		"empty":                              {"", "it is empty"},
		"a single quote":                     {"it's", "a single quote"},
		"NUL":                                {"a\x00b", "a NUL byte"},
		"bytes that are not UTF-8":           {"\xff\xfe", "not valid UTF-8"},
		"CR LF":                              {"a\r\nb", "CR LF"},
		"one byte over the longest line":     {strings.Repeat("x", fits+1), "too long for the kubelet"},
		"a line too long in the middle":      {"a\n" + strings.Repeat("x", envfile.MaxLine+1) + "\nb", "too long for the kubelet"},
		"longer than execve takes":           {strings.Repeat("1234567\n", envfile.MaxEnv/8), "longer than an environment variable may be"},
		"a last line too long for its quote": {"a\n" + strings.Repeat("x", envfile.MaxLine), "too long for the kubelet"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := envfile.Append([]byte("before\n"), "A", []byte(tc.value))
			if tc.err == "" {
				if want := "before\nA='" + tc.value + "'\n"; err != nil || string(out) != want {
					t.Fatalf("Append: %v; wrote %d bytes, want %d", err, len(out), len(want))
				}
				return
			}
			if !errors.Is(err, envfile.ErrUnrepresentable) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error = %v, want ErrUnrepresentable with %q", err, tc.err)
			}
			if string(out) != "before\n" {
				t.Errorf("a refused value left %q in the file", out)
			}
			if len(tc.value) > 3 && strings.Contains(err.Error(), tc.value) {
				t.Error("the error contains the value")
			}
		})
	}
}
