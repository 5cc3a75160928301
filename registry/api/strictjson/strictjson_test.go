// SPDX-License-Identifier: Apache-2.0

package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lanyard-dev/lanyard/registry/api/strictjson"
)

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		text, pointer, code string // code "": it passes
	}{
		"every kind of value":                           {` {"a": [1, -0.5e+3, true, false, null, "x"], "b": {}} `, "", ""},
		"every simple escape":                           {`"\"\\\/\b\f\n\r\t\u00e9"`, "", ""},
		"a surrogate pair":                              {`"\ud83d\ude00"`, "", ""},
		"NUL as an escape":                              {`{"value":"\u0000"}`, "", ""},
		"U+FFFD itself, which is what others put there": {`{"value":"` + "\ufffd" + `\ufffd"}`, "", ""},
		"a lone high surrogate":                         {`{"value":"x\ud83dx"}`, "/value", "encoding"},
		"a high surrogate and a simple escape":          {`{"value":"\ud83d\n"}`, "/value", "encoding"},
		"two high surrogates":                           {`{"value":"\ud83d\ud83d"}`, "/value", "encoding"},
		"a lone low surrogate":                          {`{"value":"\ude00"}`, "/value", "encoding"},
		"a byte that is not UTF-8":                      {"{\"envs\":[{},{\"value\":\"\xff\"}]}", "/envs/1/value", "encoding"},
		"UTF-8 of a surrogate":                          {"\"\xed\xa0\x80\"", "", "encoding"},
		"a repeated name":                               {`{"a":{"b":1,"b":2}}`, "/a/b", "duplicate"},
		"a name repeated as an escape":                  {`{"value":1,"v\u0061lue":2}`, "/value", "duplicate"},
		"the same name in two objects":                  {`[{"b":1},{"b":2}]`, "", ""},
		"a name with a slash":                           {`{"a/b~":{"c":1,"c":1}}`, "/a~1b~0/c", "duplicate"},
		"nothing":                                       {``, "", "syntax"},
		"two values":                                    {`{} {}`, "", "syntax"},
		"a comma too many":                              {`{"a":1,}`, "", "syntax"},
		"a raw newline in a string":                     {"\"a\nb\"", "", "syntax"},
		"a leading zero":                                {`01`, "", "syntax"},
		"a number without digits":                       {`-`, "", "syntax"},
		"an open string":                                {`{"a":"b`, "/a", "syntax"},
		"an open escape":                                {`"\`, "", "syntax"},
		"an unknown escape":                             {`"\x41"`, "", "syntax"},
		"a bare word":                                   {`nul`, "", "syntax"},
		"a deep nest":                                   {strings.Repeat("[", 100) + strings.Repeat("]", 100), strings.Repeat("/0", strictjson.MaxDepth+1), "syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			err := strictjson.Check([]byte(tc.text))
			if tc.code == "" {
				if err != nil {
					t.Fatalf("error = %v, want none", err)
				}
				return
			}
			var e *strictjson.Error
			if !errors.As(err, &e) || e.Pointer != tc.pointer || e.Code != tc.code {
				t.Fatalf("error = %#v, want %s at %q", err, tc.code, tc.pointer)
			}
		})
	}
}

func TestAnErrorDoesNotRepeatTheText(t *testing.T) {
	const canary = "CANARY"
	for _, text := range []string{`{"value":"` + canary + `\ud800"}`, `{"value":"` + canary, `{"value":` + canary + `}`, `{"value":"` + canary + "\xff\"}"} {
		if err := strictjson.Check([]byte(text)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("error = %v", err)
		}
	}
}

func TestALongNameIsCut(t *testing.T) {
	got := strictjson.Pointer(strings.Repeat("é", 1000))
	if len(got) > 140 || !utf8.ValidString(got) {
		t.Errorf("pointer of %d bytes: %q", len(got), got)
	}
}

// What Check accepts is JSON, and decodes to strings without a replacement that was not there before.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"a":["\ud83d\ude00",1e5,null,true],"b":"\u0000é"}`))
	f.Add([]byte("\"\xff\""))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := strictjson.Check(text)
		var e *strictjson.Error
		switch {
		case err == nil && !json.Valid(text):
			t.Fatal("accepted what is not JSON")
		case err != nil && !errors.As(err, &e):
			t.Fatalf("error of type %T", err)
		case err != nil && e.Code == "syntax" && json.Valid(text) && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= strictjson.MaxDepth:
			t.Fatalf("refused JSON: %v", err)
		case err == nil:
			var v any
			if json.Unmarshal(text, &v) != nil {
				return // a number that does not fit
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if had := bytes.Contains(text, []byte("\ufffd")) || bytes.Contains(bytes.ToLower(text), []byte(`\ufffd`)); !had && bytes.Contains(again, []byte("\ufffd")) {
				t.Fatal("decoding changes what was accepted")
			}
		}
	})
}
