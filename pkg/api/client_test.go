// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func TestTheClientSendsItsToken(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Path != "/api/v1/me" {
			t.Errorf("got %s with %v", r.URL.Path, r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"principal":"token:x","admin":false}`))
	}))
	defer s.Close()
	c, err := api.New(s.URL, "t")
	if err != nil {
		t.Fatal(err)
	}
	me, err := c.GetMeWithResponse(t.Context())
	if err := api.Check(me, err); err != nil || me.JSON200.Principal != "token:x" {
		t.Errorf("got %+v, %v", me, err)
	}
}

func TestAnswersThatAreNotOurs(t *testing.T) {
	for name, tc := range map[string]struct {
		status      int
		contentType string
		body        string
		want        string
	}{
		"a proxy's page":           {502, "text/html", "<h1>Bad Gateway</h1>", "502 Bad Gateway"},
		"a problem of another API": {404, "application/problem+json", `{"type":"about:blank","title":"x","status":404}`, "404 Not Found"},
		"a redirect":               {307, "", "", "307 Temporary Redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			followed := false
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				followed = followed || r.URL.Path == "/elsewhere"
				w.Header().Set("Content-Type", tc.contentType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer s.Close()
			c, err := api.New(s.URL, "t")
			if err != nil {
				t.Fatal(err)
			}
			me, err := c.GetMeWithResponse(t.Context())
			err = api.Check(me, err)
			var p *api.Problem
			if !errors.As(err, &p) || p.Status != tc.status || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v", err)
			}
			if followed {
				t.Error("the token followed a redirect")
			}
		})
	}
}

func TestTheAddressMustBeAURL(t *testing.T) {
	for _, address := range []string{"", "lanyard.example:8443", "ftp://lanyard.example", "https://"} {
		if _, err := api.New(address, "t"); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
}
