// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
)

func TestEachCharacterIsAsLikelyAsAnother(t *testing.T) {
	for charset, size := range map[contract.Charset]int{contract.CharsetAlphanumeric: 62, contract.CharsetASCII: 89, contract.CharsetBase64URL: 64, contract.CharsetDigits: 10, contract.CharsetHex: 16} {
		v, err := api.Generate(contract.Generate{Length: pointer(20000), Charset: &charset})
		if err != nil {
			t.Fatal(err)
		}
		count := map[byte]int{}
		for _, b := range v.Reveal() {
			if strings.IndexByte("'\"`\\$ \t\n", b) >= 0 {
				t.Errorf("%s holds %q", charset, b)
			}
			count[b]++
		}
		if len(count) != size {
			t.Errorf("%s has %d characters, want %d", charset, len(count), size)
		}
		for b, n := range count { // each is expected 20000/size times; six standard deviations are met by no honest generator
			expected := 20000 / float64(size)
			if d := float64(n) - expected; d*d > 36*expected {
				t.Errorf("%s: %q came %d times, %.0f expected", charset, b, n, expected)
			}
		}
	}
}

func TestWhatCouldBeGuessedIsNotGenerated(t *testing.T) {
	for charset, least := range map[contract.Charset]int{contract.CharsetAlphanumeric: 11, contract.CharsetASCII: 10, contract.CharsetBase64URL: 11, contract.CharsetDigits: 20, contract.CharsetHex: 16} {
		if _, err := api.Generate(contract.Generate{Length: pointer(least - 1), Charset: &charset}); err == nil {
			t.Errorf("%d of %s are taken for enough", least-1, charset)
		}
		if _, err := api.Generate(contract.Generate{Length: &least, Charset: &charset}); err != nil {
			t.Errorf("%d of %s: %v", least, charset, err)
		}
	}
}

func TestAGeneratedValueIsAVersionLikeAnother(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	created := decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"session","generate":{}}`))
	if created.ActiveVersion == nil || *created.ActiveVersion != 1 {
		t.Errorf("got %+v", created)
	}
	v := decode[contract.Version](t, w.do("POST", acme+"/secrets/session/versions", `{"generate":{"length":48,"charset":"hex"}}`))
	if v.Number != 2 || !v.Active || v.NoEnvfile != nil {
		t.Errorf("got %+v", v)
	}
	updated := decode[contract.Secret](t, w.do("PATCH", acme+"/secrets/session", `{"generate":{"length":48}}`))
	if *updated.ActiveVersion != 3 {
		t.Errorf("got %+v", updated)
	}
	for name, body := range map[string]string{
		"too short":             `{"name":"x","generate":{"length":8}}`,
		"an unknown charset":    `{"name":"x","generate":{"charset":"emoji"}}`,
		"with a value":          `{"name":"x","value":"v","generate":{}}`,
		"with a base64 value":   `{"name":"x","value_base64":"","generate":{}}`,
		"for a remote secret":   `{"name":"x","generate":{},"provider_id":"p","remote_path":"x"}`,
		"for remote storage":    `{"name":"x","generate":{},"storage":"remote","provider_id":"p","remote_path":"x"}`,
		"with an unknown field": `{"name":"x","generate":{"words":4}}`,
	} {
		if a := w.do("POST", acme+"/secrets", body); a.status != 422 || !strings.Contains(string(a.body), "generate") && !strings.Contains(string(a.body), "value") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}
