// SPDX-License-Identifier: Apache-2.0

package images

import (
	"net/url"
	"strings"
	"testing"
)

func TestNamesOfImages(t *testing.T) {
	sum := "sha256:" + strings.Repeat("0", 64)
	for text, want := range map[string]string{ // host, repository, what is asked for
		"app":                                "docker.io library/app latest",
		"app:1.2":                            "docker.io library/app 1.2",
		"me/app":                             "docker.io me/app latest",
		"docker.io/app":                      "docker.io library/app latest",
		"index.docker.io/me/app:1":           "docker.io me/app 1",
		"registry.example/a/b/c:v1":          "registry.example a/b/c v1",
		"Registry.Example/app":               "registry.example app latest",
		"registry:5000/app":                  "registry:5000 app latest",
		"registry:5000/app:2":                "registry:5000 app 2",
		"localhost/app":                      "localhost app latest",
		"10.0.0.1:5000/app:1":                "10.0.0.1:5000 app 1",
		"registry.example/app@" + sum:        "registry.example app " + sum,
		"registry.example/app:1@" + sum:      "registry.example app " + sum,
		"app@" + sum:                         "docker.io library/app " + sum,
		"":                                   "",
		":1":                                 "",
		"app:":                               "",
		"app@":                               "",
		"app@sha256:00":                      "",
		"app@md5:" + strings.Repeat("0", 32): "",
		"registry.example/":                  "",
		"registry.example/App":               "",
		"registry.example/../app":            "",
		"registry.example/app:1/2":           "",
		"registry.example/app:a b":           "",
		"me@evil.example/app":                "",
		"registry.example?x=/app":            "",
		"registry.example#/app":              "",
		"https://registry.example/app":       "",
		"registry.example//app":              "",
		strings.Repeat("a", 600):             "",
	} {
		got := ""
		if r, err := parseReference(text); err == nil {
			got = strings.Join([]string{r.host, r.repository, r.what()}, " ")
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
}

func TestNamesOfRegistries(t *testing.T) {
	for text, ok := range map[string]bool{
		"registry.example": true, "registry.example:5000": true, "http://registry:5000": true, "docker.io": true, "10.0.0.1:5000": true, "localhost": true,
		"": false, "http://": false, "https://registry.example": false, "registry.example/team": false, "user@registry.example": false, "registry.example?x": false, "a b": false,
	} {
		if err := CheckRegistry(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	r, err := parseRegistries([]string{"Registry.example", "http://plain:80", "docker.io", "other:8443"})
	if err != nil {
		t.Fatal(err)
	}
	for text, named := range map[string]bool{
		"https://registry.example/v2/": true, "https://registry.example:443/": true, "https://REGISTRY.example/": true, "http://plain/x": true, "https://registry-1.docker.io/v2/": true, "https://other:8443/": true,
		"http://registry.example/": false, "https://registry.example:8443/": false, "https://plain:80/": false, "https://plain/": false, "https://docker.io/": false, "https://other/": false, "https://auth.docker.io/token": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if r.has(u) != named {
			t.Errorf("%s: named %t, want %t", text, r.has(u), named)
		}
	}
	if got := r.String(); got != "docker.io, other:8443, plain:80, registry.example" {
		t.Errorf("they are listed as %q", got)
	}
}
