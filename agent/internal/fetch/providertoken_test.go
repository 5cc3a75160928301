// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestTokensForProvidersAreReadAnewForEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const audience = "https://vault.example:8200"
		request := *asked
		request.ProviderTokens = []wire.ProviderToken{{Audience: audience}}
		var sent []string
		var file string
		s := &script{}
		record := func(next func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
			return func(r *http.Request) (*http.Response, error) {
				var got wire.ResolveRequest
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
				if len(got.ProviderTokens) != 1 || got.ProviderTokens[0].Audience != audience {
					t.Errorf("sent %+v", got)
				} else {
					sent = append(sent, string(got.ProviderTokens[0].Token.Reveal()))
				}
				if err := os.WriteFile(file, []byte("second"+canary), 0o600); err != nil {
					t.Error(err)
				}
				return next(r)
			}
		}
		s.answers = answers{record(problem(503, wire.Problem{Code: wire.CodeStoreUnavailable})), record(values(env("A"), env("B")))}
		var log bytes.Buffer
		c := newClient(t, s, &log)
		file = filepath.Join(filepath.Dir(c.TokenFile), podspec.ProviderTokenPath(audience))
		if err := os.WriteFile(file, []byte("first"+canary), 0o600); err != nil {
			t.Fatal(err)
		}
		answer, err := c.Resolve(t.Context(), &request)
		if err != nil {
			t.Fatal(err)
		}
		Wipe(answer)
		if want := "first" + canary + " second" + canary; strings.Join(sent, " ") != want {
			t.Errorf("sent %q, want %q", sent, want)
		}
		if strings.Contains(log.String(), canary) {
			t.Errorf("a token is in the log: %s", log.String())
		}
	})
}

func TestAMissingTokenForAProviderIsSaid(t *testing.T) {
	request := *asked
	request.ProviderTokens = []wire.ProviderToken{{Audience: "vault"}}
	c := newClient(t, &script{}, new(bytes.Buffer))
	if _, err := c.Resolve(t.Context(), &request); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "provider-vault") {
		t.Errorf("%v", err)
	}
}
