// SPDX-License-Identifier: Apache-2.0

package images

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
)

func TestWhatAnImageRunsOnEveryArchitecture(t *testing.T) {
	w := newWorld(t)
	amd, arm := image{arch: "amd64", entrypoint: []string{"/app"}, cmd: []string{"serve"}}, image{arch: "arm64", variant: "v8", entrypoint: []string{"/app"}, cmd: []string{"serve"}}
	other := image{arch: "arm64", entrypoint: []string{"/app-arm"}, cmd: []string{"serve"}}
	attestation := image{os: "unknown", arch: "unknown", cmd: []string{"nothing"}}
	both := []string{"amd64", "arm64"}
	for name, tc := range map[string]struct {
		images        []image // an index if there are several
		index, docker bool
		architectures []string
		want          []string // nil if it is refused
		text          string
	}{
		"an image of the one architecture":          {images: []image{amd}, architectures: []string{"amd64"}, want: []string{"/app", "serve"}},
		"an image of one of the architectures":      {images: []image{amd}, architectures: both, want: []string{"/app", "serve"}},
		"an image of another architecture":          {images: []image{arm}, architectures: []string{"amd64", "s390x"}, text: "none of the architectures the pod may come to: amd64, s390x"},
		"an image for Windows":                      {images: []image{{os: "windows", arch: "amd64", cmd: []string{"x"}}}, architectures: both, text: "none of the architectures"},
		"an image in Docker's format":               {images: []image{{arch: "amd64", cmd: []string{"sh"}, docker: true}}, architectures: both, want: []string{"sh"}},
		"an image that runs nothing":                {images: []image{{arch: "amd64"}}, architectures: both, want: []string{}},
		"an index whose images run the same":        {images: []image{amd, arm}, index: true, architectures: both, want: []string{"/app", "serve"}},
		"an index in Docker's format":               {images: []image{amd, arm}, index: true, docker: true, architectures: both, want: []string{"/app", "serve"}},
		"an index whose images differ":              {images: []image{amd, other}, index: true, architectures: both, text: "something else on linux/amd64 than on linux/arm64"},
		"an index that differs where no node is":    {images: []image{amd, other}, index: true, architectures: []string{"amd64"}, want: []string{"/app", "serve"}},
		"an index without one of the architectures": {images: []image{amd, attestation}, index: true, architectures: both, want: []string{"/app", "serve"}},
		"an index with none of them":                {images: []image{amd, arm}, index: true, architectures: []string{"ppc64le"}, text: "none of the architectures"},
		"an empty index":                            {index: true, architectures: both, text: "none of the architectures"},
		"variants that run the same":                {images: []image{{arch: "arm", variant: "v6", cmd: []string{"a"}}, {arch: "arm", variant: "v7", cmd: []string{"a"}}}, index: true, architectures: []string{"arm"}, want: []string{"a"}},
		"variants that differ":                      {images: []image{{arch: "arm", variant: "v6", cmd: []string{"a"}}, {arch: "arm", variant: "v7", cmd: []string{"b"}}}, index: true, architectures: []string{"arm"}, text: "linux/arm/v6 than on linux/arm/v7"},
		"an index that does not name platforms":     {images: []image{{arch: "amd64", cmd: []string{"a"}, nameless: true}, {arch: "s390x", cmd: []string{"b"}, nameless: true}}, index: true, architectures: both, want: []string{"a"}},
		"the place where a word stands counts":      {images: []image{{arch: "amd64", entrypoint: []string{"a"}, cmd: []string{"b"}}, {arch: "arm64", entrypoint: []string{"a", "b"}}}, index: true, architectures: both, text: "something else"},
	} {
		t.Run(name, func(t *testing.T) {
			repository := "public/" + strings.ReplaceAll(strings.ToLower(name), " ", "-")
			repository = strings.ReplaceAll(repository, "'", "")
			var pushed string
			if tc.index {
				pushed = w.index(repository, "1", tc.docker, tc.images...).Digest.String()
			} else {
				pushed = w.push(repository, "1", tc.images[0]).Digest.String()
			}
			for _, reference := range []string{":1", "@" + pushed, ":gone@" + pushed} {
				got := w.lookFor(t.Context(), "shop", repository+reference, tc.architectures)
				if tc.want == nil {
					w.refuses(got, Ambiguous, tc.text)
					continue
				}
				w.wants(got, repository+reference, tc.want...)
				if want := w.host + "/" + repository + strings.TrimSuffix(reference, "@"+pushed) + "@" + pushed; got.Reference != want {
					t.Errorf("it is pinned to %s, want %s", got.Reference, want)
				}
			}
		})
	}
}

func TestOnlyTheOperatorsRegistriesAreAsked(t *testing.T) {
	w := newWorld(t)
	answers := w.client.Look(t.Context(), Request{Namespace: "shop", Architectures: []string{"amd64"}, Images: []string{"other.example/app:1", "app", "not an image", w.host + "/public/none:1"}})
	w.refuses(answers["other.example/app:1"], NotAllowed, "image registry other.example is none that may be asked; these are "+w.host)
	w.refuses(answers["app"], NotAllowed, "docker.io")
	w.refuses(answers["not an image"], Denied, "no name of an image")
	w.refuses(answers[w.host+"/public/none:1"], Denied, "neither to everybody nor")
	for outcome, want := range map[Kind]float64{NotAllowed: 2, Denied: 2, found: 0} {
		if got := testutil.ToFloat64(w.client.lookups.WithLabelValues(string(outcome))); got != want {
			t.Errorf("%s is counted %v times, want %v", outcome, got, want)
		}
	}
}

func TestManyImagesOfOnePod(t *testing.T) {
	w := newWorld(t)
	r := Request{Namespace: "shop", Architectures: []string{"amd64"}}
	for i := range maxImages + 1 {
		repository := fmt.Sprintf("public/app%d", i)
		w.push(repository, "latest", image{arch: "amd64", cmd: []string{repository}})
		r.Images = append(r.Images, w.host+"/"+repository)
	}
	answers := w.client.Look(t.Context(), r)
	for i, name := range r.Images[:maxImages] {
		w.wants(answers[name], name, fmt.Sprintf("public/app%d", i))
	}
	w.refuses(answers[r.Images[maxImages]], Unavailable, "more than 16 images")
}

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	w.push("public/app", "1", image{arch: "amd64", cmd: []string{"public"}})
	w.push("private/app", "1", image{arch: "amd64", cmd: []string{"private"}})
	w.passwords["anna"], w.passwords["berta"] = "canary-a", "canary-b"
	w.pullSecret("shop", "anna", "anna", "canary-a")
	w.pullSecret("shop", "wrong", "anna", "canary-wrong")
	w.pullSecret("shop", "stranger", "carla", "canary-c")
	w.pullSecret("closed", "anna", "anna", "canary-a")
	w.secrets["shop/opaque"] = &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: w.secrets["shop/anna"].Data}
	old, err := json.Marshal(map[string]any{w.host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("berta:canary-b"))}})
	if err != nil {
		t.Fatal(err)
	}
	w.secrets["shop/old"] = &corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: old}}
	w.secrets["shop/broken"] = &corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte("{canary")}}
	w.forbidden["closed"] = true
	for _, tc := range []struct {
		name, namespace, image string
		secrets                []string
		want                   string // what it runs, or
		kind                   Kind
		text                   string
		reads                  []string
	}{
		{name: "what everybody sees needs no Secret", namespace: "shop", image: "public/app:1", secrets: []string{"anna"}, want: "public"},
		{name: "not even one that may not be read", namespace: "closed", image: "public/app:1", secrets: []string{"anna"}, want: "public"},
		{name: "without a Secret", namespace: "shop", image: "private/app:1", kind: Denied, text: "private/app 1 neither to everybody nor to the pod's image pull secrets"},
		{name: "with the right one", namespace: "shop", image: "private/app:1", secrets: []string{"anna"}, want: "private", reads: []string{"shop/anna"}},
		{name: "with a wrong one, which was shown to another a moment ago", namespace: "shop", image: "private/app:1", secrets: []string{"wrong"}, kind: Denied, text: "neither to everybody", reads: []string{"shop/wrong"}},
		{name: "with nobody's, likewise", namespace: "shop", image: "private/app:1", kind: Denied, text: "neither to everybody"},
		{name: "with some that are of no use, and one that is", namespace: "shop", image: "private/app:1", secrets: []string{"wrong", "gone", "opaque", "broken", "stranger", "old"}, want: "private",
			reads: []string{"shop/wrong", "shop/gone", "shop/opaque", "shop/broken", "shop/stranger", "shop/old"}},
		{name: "where the injector may read none", namespace: "closed", image: "private/app:1", secrets: []string{"anna"}, kind: Denied,
			text: "may not read the image pull secret anna of namespace closed; the chart's injector.imageConfig.pullSecretNamespaces", reads: []string{"closed/anna"}},
		{name: "too many", namespace: "shop", image: "private/app:1", secrets: slices.Repeat([]string{"anna"}, maxSecrets+1), kind: Denied, text: "more than 16 image pull secrets"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.reads = nil
			got := w.lookFor(t.Context(), tc.namespace, tc.image, []string{"amd64"}, tc.secrets...)
			if tc.kind != "" {
				w.refuses(got, tc.kind, tc.text)
			} else {
				w.wants(got, tc.image, tc.want)
			}
			if !slices.Equal(w.reads, tc.reads) {
				t.Errorf("Secrets read: %q, want %q", w.reads, tc.reads)
			}
		})
	}
}

func TestACredentialThatWasReplacedIsOfNoUse(t *testing.T) {
	w := newWorld(t)
	pushed := w.push("private/app", "1", image{arch: "amd64", cmd: []string{"private"}})
	w.passwords["anna"] = "canary-1"
	w.pullSecret("shop", "anna", "anna", "canary-1")
	pinned := "private/app@" + pushed.Digest.String()
	w.wants(w.look(pinned, "anna"), pinned, "private")
	w.mu.Lock()
	w.passwords["anna"] = "canary-2"
	w.mu.Unlock()
	w.pullSecret("shop", "anna", "anna", "canary-typo")
	w.refuses(w.look(pinned, "anna"), Denied, "neither to everybody")
	w.pullSecret("shop", "anna", "anna", "canary-2")
	w.wants(w.look(pinned, "anna"), pinned, "private")
}

func TestWhatWasReadIsKept(t *testing.T) {
	w := newWorld(t)
	pushed := w.index("private/app", "1", false, image{arch: "amd64", cmd: []string{"a"}}, image{arch: "arm64", cmd: []string{"a"}})
	w.passwords["anna"], w.passwords["berta"] = "canary-a", "canary-b"
	w.pullSecret("shop", "anna", "anna", "canary-a")
	w.pullSecret("bank", "anna", "anna", "canary-a")
	w.pullSecret("bank", "berta", "berta", "canary-b")
	pinned := "private/app@" + pushed.Digest.String()
	both := []string{"amd64", "arm64"}
	w.wants(w.look(pinned, "anna"), pinned, "a")
	if n := w.asked("/blobs/"); n != 2 {
		t.Errorf("%d configurations were read, want 2", n)
	}
	w.wants(w.lookFor(t.Context(), "bank", pinned, both, "anna"), pinned, "a")
	if n := w.asked("GET /v2/"); n != 0 {
		t.Errorf("with the same credential %d documents were read again", n)
	}
	w.wants(w.lookFor(t.Context(), "bank", pinned, both, "berta"), pinned, "a")
	if n := w.asked("/blobs/"); n != 2 {
		t.Errorf("with another credential %d configurations were read, want 2", n)
	}
}

func TestATagThatMovesIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.push("public/app", "1", image{arch: "amd64", cmd: []string{"old"}})
	w.wants(w.look("public/app:1"), "public/app:1", "old")
	moved := w.push("public/app", "1", image{arch: "amd64", cmd: []string{"new"}})
	w.client.cache.mu.Lock()
	for key, e := range w.client.cache.entries { // as if the time of a tag were over
		if strings.HasSuffix(key, " names 1") {
			w.client.cache.remove(e)
		}
	}
	w.client.cache.mu.Unlock()
	got := w.look("public/app:1")
	w.wants(got, "public/app:1", "new")
	if !strings.HasSuffix(got.Reference, ":1@"+moved.Digest.String()) {
		t.Errorf("it is pinned to %s", got.Reference)
	}
}

func TestARegistryWithoutTLS(t *testing.T) {
	w := newWorld(t)
	w.push("public/app", "1", image{arch: "amd64", cmd: []string{"app"}})
	for name, registry := range map[string]string{"named so": "http://" + w.host, "not named so": w.host} {
		t.Run(name, func(t *testing.T) {
			client, err := New(Config{Registries: []string{registry}, Secrets: w})
			if err != nil {
				t.Fatal(err)
			}
			w.client = client
			// The server speaks TLS only: over http it answers with a 400, and without its authority nobody trusts it.
			if got := w.look("public/app:1"); name == "named so" {
				w.refuses(got, Unavailable, "status 400")
			} else {
				w.refuses(got, Unavailable, "certificate")
			}
		})
	}
}

func TestAnAuthorityThatCannotBeUsed(t *testing.T) {
	client, err := New(Config{Registries: []string{"registry.example"}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := client.LoadCA(path); err == nil || !strings.Contains(err.Error(), "reading the image registries' CA") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.LoadCA(path); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("a file of something else: %v", err)
	}
}

func TestBasicAuthentication(t *testing.T) {
	w := newWorld(t)
	w.push("private/app", "1", image{arch: "amd64", cmd: []string{"app"}})
	w.pullSecret("shop", "anna", "anna", "canary-a")
	w.pullSecret("shop", "wrong", "anna", "canary-w")
	w.answer = func(out http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "anna" && password == "canary-a" {
			w.store.ServeHTTP(out, r)
			return true
		}
		out.Header().Set("Www-Authenticate", `Basic realm="images"`)
		out.WriteHeader(http.StatusUnauthorized)
		return true
	}
	w.refuses(w.look("private/app:1"), Denied, "neither to everybody")
	w.refuses(w.look("private/app:1", "wrong"), Denied, "neither to everybody")
	w.wants(w.look("private/app:1", "wrong", "anna"), "private/app:1", "app")
}
