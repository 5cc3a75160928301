// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider"
)

func TestDocumentsThatCannotBeUsed(t *testing.T) {
	const canary = "cAnArY"
	for name, tc := range map[string]struct {
		object, key string
		kind        provider.Kind
	}{
		"not JSON":                       {`{"a":` + canary, "", provider.KindInvalid},
		"a string instead of an object":  {`"` + canary + `"`, "", provider.KindInvalid},
		"an array":                       {`["` + canary + `"]`, "", provider.KindInvalid},
		"null":                           {`null`, "", provider.KindInvalid},
		"two texts":                      {`{"a":"` + canary + `"}{}`, "", provider.KindInvalid},
		"bad UTF-8":                      {"{\"a\":\"" + canary + "\xff\"}", "a", provider.KindInvalid},
		"nested too deep":                {strings.Repeat(`{"a":`, 33) + `"` + canary + `"` + strings.Repeat("}", 33), "", provider.KindInvalid},
		"nested far too deep":            {strings.Repeat(`{"a":`, 100_000) + `"` + canary + `"` + strings.Repeat("}", 100_000), "", provider.KindInvalid},
		"half a surrogate pair":          {`{"a":"` + canary + `\ud83d"}`, "a", provider.KindUnrepresentable},
		"the other half":                 {`{"a":"\udd11` + canary + `"}`, "a", provider.KindUnrepresentable},
		"two first halves":               {`{"a":"\ud83d\ud83d` + canary + `"}`, "a", provider.KindUnrepresentable},
		"half a pair and another escape": {`{"a":"\ud83d\n` + canary + `"}`, "a", provider.KindUnrepresentable},
		"a null value":                   {`{"a":null}`, "a", provider.KindInvalid},
		"a missing key":                  {`{"b":"` + canary + `"}`, "a", provider.KindNotFound},
		"a key of another case":          {`{"A":"` + canary + `"}`, "a", provider.KindNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := provider.NewDocument([]byte(tc.object))
			if err == nil {
				_, err = d.Value(tc.key)
			}
			e, ok := errors.AsType[*provider.Error](err)
			if !ok || e.Kind != tc.kind {
				t.Fatalf("error = %v, want kind %v", err, tc.kind)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, e, d), canary) {
				t.Error("the secret is in the error, or printing a document reveals it")
			}
		})
	}
}

func TestEscapesThatLookLikeSurrogatesAreText(t *testing.T) {
	d, err := provider.NewDocument([]byte(`{"a":"\\ud83d","b":"\\\\ud83d \u00e9"}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": `\ud83d`, "b": `\\ud83d é`} {
		if v, err := d.Value(key); err != nil || string(v.Reveal()) != want {
			t.Errorf("%s = %q, %v", key, v.Reveal(), err)
		}
	}
}

func TestBracketsInStringsDoNotNest(t *testing.T) {
	object := `{"a":"` + strings.Repeat(`[{\"`, 100) + `","b":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`
	d, err := provider.NewDocument([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := d.Value("a"); err != nil || string(v.Reveal()) != strings.Repeat(`[{"`, 100) {
		t.Errorf("%q, %v", v.Reveal(), err)
	}
}

func TestNumbersKeepEveryDigit(t *testing.T) {
	d, err := provider.NewDocument([]byte(`{"long":12345678901234567890,"exact":1.50,"exponent":1E+2}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"long": "12345678901234567890", "exact": "1.50", "exponent": "1E+2"} {
		if v, err := d.Value(key); err != nil || string(v.Reveal()) != want {
			t.Errorf("%s = %q, %v", key, v.Reveal(), err)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"a":"\ud83d\udd11","b":1}`), "a")
	f.Add([]byte(`{"a":"\ud83d"}`), "a")
	f.Add([]byte(`{"a":{"b":[1]}}`), "")
	f.Fuzz(func(t *testing.T, object []byte, key string) {
		d, err := provider.NewDocument(object)
		if err != nil {
			return
		}
		v, err := d.Value(key)
		if err != nil || key == "" {
			return
		}
		var plain map[string]any
		if json.Unmarshal(object, &plain) != nil {
			t.Fatal("accepted what is not an object")
		}
		if s, ok := plain[key].(string); ok && s != string(v.Reveal()) {
			t.Fatalf("%q, want %q", v.Reveal(), s)
		}
	})
}
