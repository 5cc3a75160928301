// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/authn/bootstrap"
)

func newToken() string {
	random := make([]byte, 32)
	rand.Read(random)
	return bootstrap.Prefix + base64.RawURLEncoding.EncodeToString(random)
}

func TestAuthenticate(t *testing.T) {
	token, other := newToken(), newToken()
	for name, tc := range map[string]struct {
		file    string
		headers []string
		admin   bool
		err     error
	}{
		"the token":                                  {token, []string{"Bearer " + token}, true, nil},
		"the token, with a newline in the file":      {token + "\n", []string{"bearer " + token}, true, nil},
		"no credential":                              {token, nil, false, nil},
		"another token":                              {token, []string{"Bearer " + other}, false, nil},
		"the token cut short":                        {token, []string{"Bearer " + token[:len(token)-1]}, false, nil},
		"the token and more":                         {token, []string{"Bearer " + token + "x"}, false, nil},
		"the token with a space after it":            {token, []string{"Bearer " + token + " "}, false, nil},
		"the token as a password":                    {token, []string{"Basic " + token}, false, nil},
		"the token without a scheme":                 {token, []string{token}, false, nil},
		"two headers, one with the token":            {token, []string{"Bearer " + other, "Bearer " + token}, false, nil},
		"an empty file is no token":                  {"", []string{"Bearer " + token}, false, bootstrap.ErrToken},
		"an empty file and an empty token":           {"", []string{"Bearer "}, false, nil},
		"a file with a short token is no token":      {"lyd_boot_x", []string{"Bearer " + token}, false, bootstrap.ErrToken},
		"a file with two tokens is no token":         {token + "\n" + other, []string{"Bearer " + token}, false, bootstrap.ErrToken},
		"a missing file accepts nothing and says so": {"-", []string{"Bearer " + token}, false, os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if tc.file != "-" {
				if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := httptest.NewRequest("GET", "/", nil)
			for _, h := range tc.headers {
				r.Header.Add("Authorization", h)
			}
			a := bootstrap.Authenticator{Path: path}
			p, err := a.Authenticate(r)
			if p.Admin != tc.admin || p.Anonymous() == tc.admin || !errors.Is(err, tc.err) {
				t.Errorf("got %v, %v", p, err)
			}
			if err != nil && (strings.Contains(err.Error(), token) || tc.file != "" && tc.file != "-" && strings.Contains(err.Error(), tc.file)) {
				t.Errorf("the error has the token: %v", err)
			}
		})
	}
}

func TestAReplacedTokenCountsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, second := newToken(), newToken()
	a := bootstrap.Authenticator{Path: path}
	for i, token := range []string{first, second} {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		for j, given := range []string{first, second} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+given)
			if p, err := a.Authenticate(r); err != nil || p.Admin != (i == j) {
				t.Errorf("file %d, token %d: %v, %v", i, j, p, err)
			}
		}
	}
}
