// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const canary = "canary-3d9a"

type plain struct{ Name, Value, Note string }

func reveal(items []Item) (out []plain) {
	for _, i := range items {
		out = append(out, plain{i.Name, string(i.Value.Reveal()), i.Note})
	}
	return out
}

const dollar = "$ is kept as it is; nothing is expanded"

func TestFilesAreReadToTheByte(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		format  Format
		want    []plain
	}{
		"nothing":                          {"\n# comment\n  \n", Dotenv, nil},
		"plain lines":                      {"A=1\nexport B = 2 \n  C=\n", Dotenv, nil}, // a blank before = is no name
		"names and blanks":                 {"A=1\nexport B= two words \t\n  C=\nd.e-f_1=x=y", Dotenv, []plain{{"A", "1", ""}, {"B", "two words", ""}, {"C", "", ""}, {"d.e-f_1", "x=y", ""}}},
		"comments":                         {"A=1 # one\nB=1#one\nC=#\nD='#' # x\nE=a\t#b", Dotenv, []plain{{"A", "1", ""}, {"B", "1#one", ""}, {"C", "", ""}, {"D", "#", ""}, {"E", "a", ""}}},
		"nothing is expanded":              {"A=$HOME\nB=\"${HOME}\"\nC='$HOME'\nD=\"\\$HOME\"", Dotenv, []plain{{"A", "$HOME", dollar}, {"B", "${HOME}", dollar}, {"C", "$HOME", ""}, {"D", "$HOME", ""}}},
		"single quotes are literal":        {"A='a\\n \"b\" '\nB='l1\r\nl2\n'\n", Dotenv, []plain{{"A", "a\\n \"b\" ", ""}, {"B", "l1\r\nl2\n", ""}}},
		"double quotes have escapes":       {`A="a\n\r\t\\\"\$"` + "\nB=\"l1\nl2\n\"", Dotenv, []plain{{"A", "a\n\r\t\\\"$", ""}, {"B", "l1\nl2\n", ""}}},
		"ends of lines of Windows":         {"A=1\r\nB='2'\r\n\r\n#\r\nC=3", Dotenv, []plain{{"A", "1", ""}, {"B", "2", ""}, {"C", "3", ""}}},
		"a byte order mark":                {"\xef\xbb\xbfA=1", Auto, []plain{{"A", "1", ""}}},
		"JSON":                             {`{"A": "1", "b-c": " <\u00e9\ud83d\ude00\n"}`, Auto, []plain{{"A", "1", ""}, {"b-c", " <é😀\n", ""}}},
		"a Secret in YAML":                 {"apiVersion: v1\nkind: Secret\ndata: {B: aGk=}\nstringData:\n  A: |\n    x\n    y\n", Auto, []plain{{"A", "x\ny\n", ""}, {"B", "hi", ""}}},
		"a Secret in JSON":                 {`{"kind":"Secret","data":{"A":"AP8="},"stringData":{"B":"\ud83d\ude00"}}`, Auto, []plain{{"A", "\x00\xff", ""}, {"B", "😀", ""}}},
		"a list and several documents":     {"kind: List\nitems:\n- {kind: Secret, stringData: {A: a}}\n---\n---\nkind: Secret\ndata: null\nstringData: {B: b}\n", Auto, []plain{{"A", "a", ""}, {"B", "b", ""}}},
		"a .env file that mentions a kind": {"kind=Secret\n", Auto, []plain{{"kind", "Secret", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			items, err := Parse([]byte(tt.content), tt.format)
			if name == "plain lines" {
				if err == nil {
					t.Error("it was accepted")
				}
				return
			}
			if diff := cmp.Diff(tt.want, reveal(items)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsAmbiguousIsRefusedWithoutBeingRepeated(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		format  Format
		want    string
	}{
		"no equals sign":                {"A=1\n" + canary + "\n", Dotenv, "line 2 is not NAME=value"},
		"a name of other characters":    {canary + " x=1", Dotenv, "line 1 does not begin with a name"},
		"no name":                       {"=" + canary, Dotenv, "line 1 does not begin"},
		"twice":                         {"A=1\nA=" + canary, Dotenv, `line 2: name "A" stands there twice`},
		"an open single quote":          {"\nA='" + canary, Dotenv, "line 2: the single quote that begins A"},
		"an open double quote":          {"A=\"" + canary + "\n\\", Dotenv, "line 1: the double quote that begins A"},
		"an escape nobody agrees about": {`A="` + canary + `\x"`, Dotenv, "line 1: a backslash in A"},
		"text after a quote":            {"A='1'" + canary, Dotenv, "line 1: something follows"},
		"a comment without a blank":     {"A='1'#" + canary, Dotenv, "line 1: something follows"},
		"a quote in the open":           {"A=" + canary + "'s", Dotenv, "line 1: the value of A holds a quote"},
		"a backslash in the open":       {"A=" + canary + `\n`, Dotenv, "holds a quote, a backslash"},
		"NUL":                           {"A=" + canary + "\x00", Dotenv, "NUL"},
		"a number":                      {`{"A": 1}`, JSON, `"A" is not a string`},
		"a nested object":               {`{"A": {"B": "` + canary + `"}}`, JSON, `"A" is not a string`},
		"null":                          {`{"A": null}`, JSON, `"A" is not a string`},
		"a JSON member twice":           {`{"A": "1", "A": "` + canary + `"}`, JSON, `"A" stands there twice`},
		"half a character":              {`{"A": "\ud800` + canary + `"}`, JSON, "no character"},
		"bytes that are no text":        {"{\"A\": \"\xff" + canary + "\"}", JSON, "UTF-8"},
		"broken JSON":                   {`{"A": "1", "B": ` + canary, JSON, "after 1 items"},
		"two objects":                   {`{"A": "1"} {}`, JSON, "something follows"},
		"an array":                      {`["` + canary + `"]`, JSON, "not a JSON object"},
		"an alias":                      {"kind: Secret\nstringData: {A: *" + canary + "}", Kubernetes, "document 1 is not valid YAML"},
		"a YAML key twice":              {"kind: Secret\nstringData: {A: x, A: " + canary + "}", Kubernetes, "has a key twice"},
		"a YAML number":                 {"kind: Secret\nstringData: {A: 5432}", Kubernetes, `"A" is not a string`},
		"a YAML truth":                  {"kind: Secret\nstringData: {A: yes}", Kubernetes, `"A" is not a string`},
		"no base64":                     {"kind: Secret\ndata: {A: " + canary + "}", Kubernetes, `data of "A" is not base64`},
		"in data and in stringData":     {"kind: Secret\ndata: {A: aGk=}\nstringData: {A: " + canary + "}", Kubernetes, `"A" stands there twice`},
		"another kind":                  {"kind: ConfigMap\ndata: {A: " + canary + "}", Kubernetes, "not of kind Secret"},
		"a list of others":              {"kind: List\nitems: [" + canary + "]", Kubernetes, "not a Kubernetes manifest"},
		"an unknown format":             {"", "toml", `no format "toml"`},
		"too much":                      {strings.Repeat("#", MaxBytes+1), Dotenv, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.content), tt.format)
			if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats the file: %v", err)
			}
		})
	}
}

// FuzzDotenv demands that what is quoted comes back to the byte, and that nothing else makes the parser misbehave.
func FuzzDotenv(f *testing.F) {
	for _, seed := range []string{"", "a\nb", `\n"$'`, "#", " x ", "\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, _ = Parse([]byte(value), Auto)
		if strings.ContainsRune(value, 0) {
			return
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value)
		items, err := Parse([]byte("A=\""+quoted+"\" # x\nB=1\n"), Dotenv)
		if want := []plain{{"A", value, ""}, {"B", "1", ""}}; err != nil || cmp.Diff(want, reveal(items)) != "" {
			t.Errorf("%q came back as %q, %v", value, reveal(items), err)
		}
	})
}
