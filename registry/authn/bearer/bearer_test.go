// SPDX-License-Identifier: Apache-2.0

package bearer_test

import (
	"net/http/httptest"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
)

func TestToken(t *testing.T) {
	for name, tc := range map[string]struct {
		headers []string
		token   string
		ok      bool
	}{
		"a token":                      {[]string{"Bearer abc"}, "abc", true},
		"the scheme in any case":       {[]string{"bEARER abc"}, "abc", true},
		"nothing of it is trimmed":     {[]string{"Bearer  abc "}, " abc ", true},
		"no header":                    {nil, "", false},
		"another scheme":               {[]string{"Basic abc"}, "", false},
		"no scheme":                    {[]string{"abc"}, "", false},
		"two headers, whatever's true": {[]string{"Bearer abc", "Bearer abc"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			for _, h := range tc.headers {
				r.Header.Add("Authorization", h)
			}
			token, ok := bearer.Token(r)
			if ok != tc.ok || ok && token != tc.token {
				t.Errorf("got %q, %v", token, ok)
			}
		})
	}
}
