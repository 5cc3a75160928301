// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/joho/godotenv"
	"github.com/magiconair/properties"

	"github.com/lanyard-dev/lanyard/agent/internal/bundle"
	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// readers read what Encode wrote as applications do.
var readers = map[string][]func([]byte) (map[string]string, error){
	podspec.BundleJSON:       {readJSON},
	podspec.BundleDotenv:     {readDotenv, readShell},
	podspec.BundleProperties: {readProperties(properties.ISO_8859_1), readProperties(properties.UTF8)},
}

func readJSON(text []byte) (values map[string]string, err error) {
	return values, errors.Join(json.Unmarshal(text, &values))
}

func readDotenv(text []byte) (map[string]string, error) { return godotenv.UnmarshalBytes(text) }

// readShell has a real shell read the file and print the ENV called V.
func readShell(text []byte) (map[string]string, error) {
	shell := exec.Command("sh", "-c", ". /dev/stdin && printf %s \"$V\"")
	shell.Stdin = bytes.NewReader(text)
	shell.Env = []string{"V=unset"}
	value, err := shell.Output()
	return map[string]string{"V": string(value)}, err
}

func readProperties(encoding properties.Encoding) func([]byte) (map[string]string, error) {
	return func(text []byte) (map[string]string, error) {
		loader := properties.Loader{Encoding: encoding, DisableExpansion: true}
		read, err := loader.LoadBytes(text)
		if err != nil {
			return nil, err
		}
		return read.Map(), nil
	}
}

// check says what is wrong with how value comes through every format: whole, or not at all.
func check(t *testing.T, value string) (refused map[string]bool) {
	t.Helper()
	refused = make(map[string]bool)
	for format, all := range readers {
		text, problems := bundle.Encode(format, []bundle.Entry{{Name: "A", Value: []byte("first")}, {Name: "V", Value: []byte(value)}})
		if problems != nil {
			if refused[format] = true; len(problems) != 1 || problems[0].Index != 1 || text != nil {
				t.Errorf("%s: %v and %q", format, problems, text)
			}
			continue
		}
		if len(text) != cap(text) {
			t.Errorf("%s: %d bytes in a slice of %d", format, len(text), cap(text))
		}
		for i, read := range all {
			if format == podspec.BundleProperties && strings.ContainsFunc(value, func(r rune) bool { return r > 0xffff }) {
				continue // Java's two units, which this reader does not put together
			}
			if got, err := read(text); err != nil || got["V"] != value {
				t.Errorf("%s, reader %d: %q became %q, %v in %q", format, i, value, got["V"], err, text)
			}
		}
	}
	return refused
}

func TestEveryValueComesThroughOrIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ value, refused string }{
		"empty":          {"", ""},
		"plain":          {"s3cr3t", ""},
		"spaces":         {"  a b  ", ""},
		"syntax":         {`a=b:c#d!e $HOME ${V} $(id) ` + "`id`" + ` "q" %s ~ * ; & | < >`, ""},
		"a hash":         {"#a #b", ""},
		"unicode":        {"grüße 🔑 \u2028", ""},
		"a backslash":    {`a\nb\`, podspec.BundleDotenv},
		"a quote":        {"it's", podspec.BundleDotenv},
		"lines":          {"a\nb\r\n", podspec.BundleDotenv},
		"control":        {"\x01\t\x1b\x7f\f", podspec.BundleDotenv},
		"a nul":          {"a\x00b", podspec.BundleDotenv},
		"no UTF-8":       {"\xff\xfe", "all"},
		"the largest":    {strings.Repeat("x", 64<<10), ""},
		"a leading tab":  {"\ta", podspec.BundleDotenv},
		"a JSON escape":  {`\u0041`, podspec.BundleDotenv},
		"separators too": {" =:a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := check(t, tc.value)
			for format := range readers {
				if want := tc.refused == "all" || tc.refused == format; got[format] != want {
					t.Errorf("%s refused it: %v, want %v", format, got[format], want)
				}
			}
		})
	}
}

func TestPropertiesHaveTheUnitsOfJava(t *testing.T) {
	text, problems := bundle.Encode(podspec.BundleProperties, []bundle.Entry{{Name: "V", Value: []byte("🔑")}})
	if want := `V=\ud83d\udd11` + "\n"; string(text) != want || problems != nil {
		t.Errorf("got %q, %v, want %q", text, problems, want)
	}
}

func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "a'b", "ü\n", `\`, "$V", "\xff", "#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) { check(t, value) })
}
