// SPDX-License-Identifier: Apache-2.0

package images

import (
	"encoding/json"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// secretOf is a pull secret with an entry for each name, whose user is called like it.
func secretOf(t *testing.T, names ...string) *corev1.Secret {
	t.Helper()
	auths := map[string]dockerEntry{}
	for _, name := range names {
		auths[name] = dockerEntry{Username: name, Password: "x"}
	}
	text, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: text}}
}

func TestCredentialsAreChosenAsTheKubeletChooses(t *testing.T) {
	for name, tc := range map[string]struct {
		entries []string
		image   string
		want    []string
	}{
		"the host":                           {[]string{"registry.example"}, "registry.example/a/b:1", []string{"registry.example"}},
		"another host":                       {[]string{"registry.example"}, "other.example/a/b:1", nil},
		"a subdomain":                        {[]string{"example.com"}, "registry.example.com/a:1", nil},
		"with a scheme":                      {[]string{"https://registry.example", "http://registry.example/"}, "registry.example/a:1", []string{"https://registry.example", "http://registry.example/"}},
		"with an old API's path":             {[]string{"https://registry.example/v1/", "registry.example/v2/"}, "registry.example/a:1", []string{"https://registry.example/v1/", "registry.example/v2/"}},
		"the port":                           {[]string{"registry.example:5000"}, "registry.example:5000/a:1", []string{"registry.example:5000"}},
		"another port":                       {[]string{"registry.example:5000", "registry.example"}, "registry.example:5001/a:1", nil},
		"a path, longest first":              {[]string{"registry.example", "registry.example/team", "registry.example/team/app"}, "registry.example/team/app:1", []string{"registry.example/team/app", "registry.example/team", "registry.example"}},
		"a path that begins so":              {[]string{"registry.example/te"}, "registry.example/team/app:1", []string{"registry.example/te"}},
		"another path":                       {[]string{"registry.example/other"}, "registry.example/team/app:1", nil},
		"a glob":                             {[]string{"*.example.com"}, "eu.example.com/a:1", []string{"*.example.com"}},
		"a glob is one label":                {[]string{"*.example.com"}, "a.b.example.com/a:1", nil},
		"a glob within a label":              {[]string{"eu-*.example.com"}, "eu-west.example.com/a:1", []string{"eu-*.example.com"}},
		"no glob in a path":                  {[]string{"registry.example/*"}, "registry.example/a:1", nil},
		"Docker Hub as docker login says":    {[]string{"https://index.docker.io/v1/"}, "app", []string{"https://index.docker.io/v1/"}},
		"Docker Hub by its name":             {[]string{"docker.io", "https://index.docker.io/v1/"}, "me/app:1", []string{"docker.io"}},
		"Docker Hub by a path":               {[]string{"docker.io/me"}, "me/app:1", []string{"docker.io/me"}},
		"Docker Hub's is not for others":     {[]string{"https://index.docker.io/v1/"}, "registry.example/app:1", nil},
		"an entry that is no name":           {[]string{"::", "https://", "registry.example"}, "registry.example/app:1", []string{"registry.example"}},
		"a malformed glob":                   {[]string{"[.example"}, "registry.example/app:1", nil},
		"a host that is another's beginning": {[]string{"registry.example"}, "registry.example.evil/app:1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var ring keyring
			ring.add(secretOf(t, tc.entries...))
			ref, err := parseReference(tc.image)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range ring.lookup(ref) {
				got = append(got, c.username)
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tc.want))
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if found := ring.lookup(ref); len(tc.want) == 3 && found[0].username != tc.want[0] { // the order of different names
				t.Errorf("%q comes first", found[0].username)
			}
		})
	}
}

func TestSecretsOfOneNameStayInTheirOrder(t *testing.T) {
	var ring keyring
	for _, user := range []string{"first", "second", "first", ""} {
		text, err := json.Marshal(map[string]dockerEntry{"registry.example": {Username: user, Password: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		ring.add(&corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: text}})
	}
	got := ring.lookup(reference{host: "registry.example", repository: "app"})
	if !slices.Equal(got, []credential{{"first", "x"}, {"second", "x"}}) {
		t.Errorf("%d credentials, of %v", len(got), got)
	}
}

func TestTheAuthFieldWins(t *testing.T) {
	for text, want := range map[string]credential{
		"YW5uYTpwOnc=": {"anna", "p:w"}, "YW5uYTpwOnc": {"anna", "p:w"}, "YW5uYTpwYXNz": {"anna", "pass"},
		"!": {}, "YW5uYQ==": {"anna", ""},
	} {
		if got := decodeAuth(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
