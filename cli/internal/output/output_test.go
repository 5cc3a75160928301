// SPDX-License-Identifier: Apache-2.0

package output

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type key struct {
	Name string `json:"name"`
	Note string `json:"note"`
}

var view = View[key]{
	Kind: "key", Name: func(k key) string { return k.Name },
	Columns: []Column[key]{
		{Header: "NAME", Cell: func(k key) string { return k.Name }},
		{Header: "NOTE", Wide: true, Cell: func(k key) string { return k.Note }},
	},
}

func TestFormats(t *testing.T) {
	one, two := key{"a", "<first>"}, key{"bb", ""}
	for format, want := range map[string]struct{ one, list string }{
		"table":                     {"NAME\na\n", "NAME\na\nbb\n"},
		"wide":                      {"NAME   NOTE      ETAG\na      <first>   \"7\"\n", "NAME   NOTE\na      <first>\nbb     -\n"},
		"name":                      {"key/a\n", "key/a\nkey/bb\n"},
		"json":                      {"{\n  \"name\": \"a\",\n  \"note\": \"<first>\"\n}\n", "{\n  \"items\": [\n    {\n      \"name\": \"a\",\n      \"note\": \"<first>\"\n    },\n    {\n      \"name\": \"bb\",\n      \"note\": \"\"\n    }\n  ]\n}\n"},
		"yaml":                      {"name: a\nnote: <first>\n", "items:\n- name: a\n  note: <first>\n- name: bb\n  note: \"\"\n"},
		"etag":                      {"\"7\"\n", "error"},
		"jsonpath={.name}":          {"a", ""},
		"jsonpath={.items[*].name}": {"", "a bb"},
	} {
		t.Run(format, func(t *testing.T) {
			f, err := ParseFormat(format)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := One(Printer{Out: &b, Format: f}, view, one, `"7"`); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want.one, b.String()); diff != "" {
				t.Errorf("one (-want +got):\n%s", diff)
			}
			b.Reset()
			err = List(Printer{Out: &b, Format: f}, view, []key{one, two})
			if want.list == "error" {
				if err == nil {
					t.Error("a list has no ETag")
				}
				return
			}
			if diff := cmp.Diff(want.list, b.String()); diff != "" || err != nil {
				t.Errorf("list: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestAnEmptyListIsAList(t *testing.T) {
	var b strings.Builder
	f, _ := ParseFormat("json")
	if err := List[key](Printer{Out: &b, Format: f}, view, nil); err != nil || b.String() != "{\n  \"items\": []\n}\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestHeadersCanBeLeftOut(t *testing.T) {
	var b strings.Builder
	if err := List(Printer{Out: &b, NoHeaders: true}, view, []key{{Name: "a"}}); err != nil || b.String() != "a\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestATableCannotDriveTheTerminal(t *testing.T) {
	var b strings.Builder
	if err := List(Printer{Out: &b, NoHeaders: true}, view, []key{{Name: "a\x1b[31m\nb\tc\u202ed é"}}); err != nil {
		t.Fatal(err)
	}
	if want := `a\x1b[31m\nb\tc\u202ed é` + "\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestUnknownFormatsAreRefused(t *testing.T) {
	for _, text := range []string{"", "xml", "jsonpath={.a", "json=x"} {
		if _, err := ParseFormat(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
