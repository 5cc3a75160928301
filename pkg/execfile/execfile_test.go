// SPDX-License-Identifier: Apache-2.0

package execfile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/execfile"
)

func TestWhatIsAppendedIsParsed(t *testing.T) {
	file := execfile.New(0)
	want := []string{"EMPTY=", "QUOTE=it's", "CRLF=a\r\nb\r\n", "BINARY=\xff\xfe\x01", "EQUALS==a=b", "LONG=" + strings.Repeat("x", 64<<10)}
	for _, env := range want {
		name, value, _ := strings.Cut(env, "=")
		var err error
		if file, err = execfile.Append(file, name, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := execfile.Parse(file)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := execfile.Parse(execfile.New(0)); err != nil || len(got) != 0 {
		t.Errorf("without values: %q, %v", got, err)
	}
}

func TestValuesNoENVCanHaveAreRefused(t *testing.T) {
	const canary = "cAnArY"
	for name, tc := range map[string]struct{ value, want string }{
		"a NUL byte":           {canary + "\x00", "NUL byte"},
		"one byte too many":    {strings.Repeat("x", execfile.MaxEnv-len("NAME=\x00")+1), "longer than"},
		"the longest possible": {strings.Repeat("x", execfile.MaxEnv-len("NAME=\x00")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := execfile.New(0)
			after, err := execfile.Append(before, "NAME", []byte(tc.value))
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, execfile.ErrUnrepresentable) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("error = %v, want one that says %q and nothing of the value", err, tc.want)
			}
			if len(after) != len(before) {
				t.Error("a part of it was appended")
			}
		})
	}
}

func TestFilesOfAnotherKindAreRefused(t *testing.T) {
	whole, err := execfile.Append(execfile.New(0), "A", []byte("cAnArY"))
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"nothing":         {},
		"half a header":   whole[:4],
		"half a value":    whole[:len(whole)-2],
		"an env file":     []byte("A='cAnArY'\n"),
		"no name":         append(execfile.New(0), "=cAnArY\x00"...),
		"no equals sign":  append(execfile.New(0), "cAnArY\x00"...),
		"an empty string": append(execfile.New(0), "\x00"...),
	} {
		if _, err := execfile.Parse(file); !errors.Is(err, execfile.ErrMalformed) || strings.Contains(err.Error(), "cAnArY") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("lanyard-exec-1\x00A=b\x00C=\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		envs, err := execfile.Parse(file)
		if err != nil {
			return
		}
		again := execfile.New(0)
		for _, env := range envs {
			name, value, _ := strings.Cut(env, "=")
			if again, err = execfile.Append(again, name, []byte(value)); err != nil {
				return // longer than an ENV may be
			}
		}
		if string(again) != string(file) {
			t.Errorf("%q became %q", file, again)
		}
	})
}
