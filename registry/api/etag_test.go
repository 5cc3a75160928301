// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
)

func TestParseTags(t *testing.T) {
	for name, tc := range map[string]struct {
		text      string
		list      []string
		any, weak bool
		fails     bool
	}{
		"one tag":                       {text: `"1"`, list: []string{"1"}},
		"several tags":                  {text: `"1", "2" ,"3"`, list: []string{"1", "2", "3"}},
		"a weak tag":                    {text: `W/"1"`, list: []string{"1"}, weak: true},
		"a weak tag among strong ones":  {text: `"1", W/"2"`, list: []string{"1", "2"}, weak: true},
		"any":                           {text: ` * `, any: true},
		"a tag with a comma":            {text: `"a,b"`, list: []string{"a,b"}},
		"an empty tag":                  {text: `""`, list: []string{""}},
		"nothing":                       {text: ``, fails: true},
		"a tag without quotes":          {text: `1`, fails: true},
		"an open tag":                   {text: `"1`, fails: true},
		"a tag with a space":            {text: `"a b"`, fails: true},
		"tags without a comma":          {text: `"1" "2"`, fails: true},
		"a comma at the end":            {text: `"1",`, fails: true},
		"any among tags":                {text: `"1", *`, fails: true},
		"a weak tag in lower case":      {text: `w/"1"`, fails: true},
		"a weak tag with a space in it": {text: `W/ "1"`, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			list, any, weak, err := api.ParseTags(tc.text)
			if (err != nil) != tc.fails || any != tc.any || weak != tc.weak || !cmp.Equal(list, tc.list) {
				t.Errorf("got %q, any %v, weak %v, %v", list, any, weak, err)
			}
		})
	}
}

func FuzzParseTags(f *testing.F) {
	f.Add(`"1", W/"2"`)
	f.Add("*")
	f.Fuzz(func(t *testing.T, text string) {
		list, any, _, err := api.ParseTags(text)
		if err == nil && any == (len(list) > 0) {
			t.Fatalf("%q is neither any nor a list", text)
		}
		if err == nil && !any {
			again, _, _, err := api.ParseTags(`"` + strings.Join(list, `", "`) + `"`)
			if err != nil || !cmp.Equal(list, again) {
				t.Fatalf("%q parses to %q, which parses to %q, %v", text, list, again, err)
			}
		}
	})
}

func TestIfMatch(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	tag := func(path string) string { return w.do("GET", acme+path, "").header.Get("ETag") }

	for name, tc := range map[string]struct {
		header func(current string) string
		status int
	}{
		"no header":                     {func(string) string { return "" }, http.StatusOK},
		"any":                           {func(string) string { return "*" }, http.StatusOK},
		"the current tag":               {func(now string) string { return now }, http.StatusOK},
		"the current tag among others":  {func(now string) string { return `"1", ` + now + `, "x"` }, http.StatusOK},
		"an old tag":                    {func(string) string { return `"1"` }, http.StatusPreconditionFailed},
		"several old tags":              {func(string) string { return `"1", "2"` }, http.StatusPreconditionFailed},
		"a tag that never was":          {func(string) string { return `"something-else"` }, http.StatusPreconditionFailed},
		"the current tag made weak":     {func(now string) string { return "W/" + now }, http.StatusUnprocessableEntity},
		"the current tag, without pads": {func(now string) string { return strings.Trim(now, `"`) }, http.StatusUnprocessableEntity},
	} {
		t.Run(name, func(t *testing.T) {
			for _, change := range []struct{ path, method, target, body string }{
				{"", "PATCH", "", `{"display_name":` + quote(name) + `}`},
				{"/secrets/stripe", "PATCH", "/secrets/stripe", `{"description":` + quote(name) + `}`},
				{"/secrets/stripe", "PATCH", "/secrets/stripe", `{"value":` + quote(name) + `}`},
				{"/secrets/stripe", "POST", "/secrets/stripe/versions/1/activate", ``},
				{"/consumers/api", "PATCH", "/consumers/api", `{"description":` + quote(name) + `}`},
				{"/consumers/api", "PUT", "/consumers/api", `{"name":"api","description":` + quote(name+" replaced") + `,"envs":[{"name":"A","secret":"stripe"}]}`},
			} {
				now := tag(change.path)
				a := w.do(change.method, acme+change.target, change.body, "If-Match", tc.header(now))
				if a.status != tc.status {
					t.Errorf("%s %s: got %d %s", change.method, change.target, a.status, a.body)
				}
				switch after := tag(change.path); {
				case a.status == http.StatusOK && after != a.header.Get("ETag"):
					t.Errorf("%s %s: answered ETag %s, is %s", change.method, change.target, a.header.Get("ETag"), after)
				case a.status != http.StatusOK && after != now:
					t.Errorf("%s %s: changed all the same", change.method, change.target)
				case a.status == http.StatusPreconditionFailed && or(a.problem(t).CurrentEtag) != now:
					t.Errorf("%s %s: the problem names %s, the object has %s", change.method, change.target, or(a.problem(t).CurrentEtag), now)
				}
			}
			if tc.status != http.StatusOK {
				for _, target := range []string{"", "/secrets/stripe?force=true", "/consumers/api"} {
					path, _, _ := strings.Cut(target, "?")
					if a := w.do("DELETE", acme+target, "", "If-Match", tc.header(tag(path))); a.status != tc.status {
						t.Errorf("DELETE %s: got %d %s", target, a.status, a.body)
					}
				}
				if a := w.do("POST", acme+"/secrets/stripe/versions", `{"value":"x"}`, "If-Match", tc.header(tag("/secrets/stripe"))); a.status != tc.status {
					t.Errorf("POST version: got %d %s", a.status, a.body)
				}
				if a := w.do("POST", acme+"/secrets/stripe/versions/1/destroy", "", "If-Match", tc.header(tag("/secrets/stripe"))); a.status != tc.status {
					t.Errorf("destroy: got %d %s", a.status, a.body)
				}
			}
		})
	}
}

func TestIfNoneMatch(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	for _, path := range []string{"", "/secrets/stripe", "/consumers/api"} {
		now := w.do("GET", acme+path, "").header.Get("ETag")
		for header, want := range map[string]int{now: 304, "W/" + now: 304, `"1", ` + now: 304, "*": 304, `"1"`: 200, "1": 422} {
			a := w.do("GET", acme+path, "", "If-None-Match", header)
			if a.status != want || want == 304 && (len(a.body) > 0 || a.header.Get("ETag") != now) {
				t.Errorf("GET %s with %s: got %d %s", path, header, a.status, a.body)
			}
		}
	}
	if a := w.do("POST", acme+"/secrets", `{"name":"new"}`, "If-None-Match", "*"); a.status != http.StatusCreated {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if p := w.do("POST", acme+"/secrets", `{"name":"new"}`, "If-None-Match", "*").problem(t); p.Code() != contract.CodeAlreadyExists {
		t.Errorf("got %+v", p)
	}
}

func TestAnInstallationCanRequireIfMatch(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.RequireIfMatch = true })
	w.organization("acme")
	for _, request := range []string{"PATCH /secrets/stripe", "DELETE /secrets/stripe", "DELETE /consumers/api", "DELETE ", "POST /secrets/stripe/versions/1/destroy"} {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if method == "PATCH" {
			body = `{"description":"d"}`
		}
		if p := w.do(method, acme+path, body).problem(t); p.Code() != contract.CodePreconditionRequired {
			t.Errorf("%s: got %+v", request, p)
		}
	}
	if a := w.do("PATCH", acme+"/secrets/stripe", `{"description":"d"}`, "If-Match", "*"); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
