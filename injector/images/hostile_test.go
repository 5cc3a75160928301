// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRegistriesThatCannotBeBelieved(t *testing.T) {
	isBlob := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }
	isManifest := func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/")
	}
	isName := func(r *http.Request) bool { return r.Method == http.MethodHead }
	redirect := func(to string) func(http.ResponseWriter, *http.Request) {
		return func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, strings.ReplaceAll(to, "PATH", r.URL.Path)+"?signature=canary", http.StatusTemporaryRedirect)
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(out http.ResponseWriter, _ *http.Request) {
			http.Error(out, `{"errors":[{"code":"X","message":"canary"}]}`, code)
		}
	}
	challenge := func(realm string) func(http.ResponseWriter, *http.Request) {
		return func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="canary"`, realm))
			out.WriteHeader(http.StatusUnauthorized)
		}
	}
	for name, tc := range map[string]struct {
		when func(*http.Request) bool
		then func(http.ResponseWriter, *http.Request)
		kind Kind
		text string
	}{
		"a blob at a metadata service":                   {isBlob, redirect("https://169.254.169.254/latest"), Unavailable, "leads to an address that is not followed"},
		"a blob at a metadata service, in clear":         {isBlob, redirect("http://169.254.169.254/latest"), Unavailable, "leads to an address that is not followed"},
		"a blob at loopback":                             {isBlob, redirect("https://127.0.0.1:1/x"), Unavailable, "leads to an address that is not followed"},
		"a blob at a name of loopback":                   {isBlob, redirect("https://localhost:1/x"), Unavailable, "leads to an address that is not followed"},
		"a blob at IPv6 loopback":                        {isBlob, redirect("https://[::1]:1/x"), Unavailable, "leads to an address that is not followed"},
		"a blob in a file":                               {isBlob, redirect("file:///etc/passwd"), Unavailable, "leads to an address that is not followed"},
		"a blob that is always elsewhere":                {isBlob, func(out http.ResponseWriter, r *http.Request) { redirect("https://"+r.Host+"PATH")(out, r) }, Unavailable, "leads to an address that is not followed"},
		"a manifest elsewhere":                           {isManifest, func(out http.ResponseWriter, r *http.Request) { redirect("https://"+r.Host+"PATH")(out, r) }, Unavailable, "leads to an address that is not followed"},
		"a name elsewhere":                               {isName, func(out http.ResponseWriter, r *http.Request) { redirect("https://"+r.Host+"PATH")(out, r) }, Unavailable, "leads to an address that is not followed"},
		"a token service at a metadata service":          {isName, challenge("https://169.254.169.254/token"), Unavailable, ""},
		"a token service at a metadata service in clear": {isName, challenge("http://169.254.169.254/token"), Unavailable, ""},
		"a token service at a name of loopback":          {isName, challenge("https://localhost:1/token"), Unavailable, "leads to an address that is not followed"},
		"a token service that is none":                   {isName, challenge("gopher://x"), Unavailable, ""},
		"no token service":                               {isName, challenge(""), Unavailable, ""},
		"a challenge nobody knows": {isName, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Www-Authenticate", "Negotiate canary")
			out.WriteHeader(http.StatusUnauthorized)
		}, Denied, "neither to everybody"},
		"another manifest": {isManifest, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = out.Write([]byte(`{"config":{},"canary":1}`))
		}, Unavailable, "something else than what its digest says"},
		"another configuration": {isBlob, func(out http.ResponseWriter, _ *http.Request) {
			_, _ = out.Write([]byte(strings.Replace(evil, "a", "b", 1)))
		}, Unavailable, "something else than what its digest says"},
		"a configuration with more behind it": {isBlob, func(out http.ResponseWriter, _ *http.Request) {
			out.(http.Flusher).Flush() // without its length
			_, _ = out.Write([]byte(evil + " "))
		}, Unavailable, "something else than what its digest says"},
		"half a configuration": {isBlob, func(out http.ResponseWriter, _ *http.Request) {
			out.(http.Flusher).Flush()
			_, _ = out.Write([]byte(evil[:10]))
		}, Unavailable, "something else than what its digest says"},
		"a name without a digest": {isName, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			out.Header().Set("Content-Length", "10")
		}, Unavailable, ""},
		"a manifest that is too large": {isName, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			out.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("a", 64))
			out.Header().Set("Content-Length", fmt.Sprint(maxDocument+1))
		}, Unavailable, "a document of more than 1048576 bytes"},
		"a format of long ago": {isName, func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
			out.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("a", 64))
			out.Header().Set("Content-Length", "10")
		}, Unavailable, "in a format that is not read"},
		"a registry that has enough":  {isName, status(http.StatusTooManyRequests), Unavailable, "(429)"},
		"a registry that is broken":   {isBlob, status(http.StatusBadGateway), Unavailable, "answered with status 502"},
		"a registry that hangs up":    {isBlob, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unavailable, "could not be asked"},
		"a configuration not shown":   {isBlob, status(http.StatusForbidden), Denied, "neither to everybody"},
		"an image that was deleted":   {isName, status(http.StatusNotFound), Denied, "neither to everybody"},
		"a token service that is out": {func(r *http.Request) bool { return r.URL.Path == "/token" }, status(http.StatusServiceUnavailable), Unavailable, "answered with status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.push("public/app", "1", image{arch: "amd64", cmd: []string{"a"}})
			w.pullSecret("shop", "anna", "anna", "canary")
			w.answer = func(out http.ResponseWriter, r *http.Request) bool {
				if tc.when(r) {
					tc.then(out, r)
					return true
				}
				return false
			}
			w.refuses(w.look("public/app:1", "anna"), tc.kind, tc.text)
		})
	}
}

// evil is a configuration as the one that is pushed, to the byte.
const evil = `{"architecture":"amd64","os":"linux","config":{"Entrypoint":null,"Cmd":["a"]}}`

func TestDocumentsOfNoUse(t *testing.T) {
	w := newWorld(t)
	w.push("public/long", "1", image{arch: "amd64", cmd: []string{strings.Repeat("x", maxWords)}})
	w.refuses(w.look("public/long:1"), Unavailable, "more than 16384 bytes")
	var many []image
	for i := range maxManifests + 1 {
		many = append(many, image{arch: "amd64", cmd: []string{fmt.Sprint(i)}})
	}
	w.index("public/many", "1", false, many...)
	w.refuses(w.look("public/many:1"), Unavailable, "an index of more than 64")
	inner := w.index("public/nested", "", false, image{arch: "amd64", cmd: []string{"a"}})
	w.document("public/nested", "1", inner.MediaType, map[string]any{"schemaVersion": 2, "mediaType": inner.MediaType, "manifests": []any{inner}})
	w.refuses(w.look("public/nested:1"), Unavailable, "an index of indexes")
	w.document("public/bare", "1", "application/vnd.oci.image.manifest.v1+json", map[string]any{"schemaVersion": 2, "layers": []any{}})
	w.refuses(w.look("public/bare:1"), Unavailable, "no configuration")
}

func TestABlobKeptElsewhereIsReadWithoutTheCredential(t *testing.T) {
	var seen atomic.Pointer[http.Header]
	var w *world
	storage := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		header := r.Header.Clone()
		seen.Store(&header)
		w.store.ServeHTTP(out, r)
	}))
	defer storage.Close()
	w = newWorld(t, strings.TrimPrefix(storage.URL, "https://"))
	w.trust(w.server, storage)
	w.push("private/app", "1", image{arch: "amd64", cmd: []string{"a"}})
	w.passwords["anna"] = "canary"
	w.pullSecret("shop", "anna", "anna", "canary")
	w.answer = func(out http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		if r.Header.Get("Authorization") != "Bearer of-anna" {
			t.Errorf("the registry itself was shown %q", r.Header.Get("Authorization"))
		}
		http.Redirect(out, r, storage.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	w.wants(w.look("private/app:1", "anna"), "private/app:1", "a")
	header := seen.Load()
	if header == nil {
		t.Fatal("the storage was not asked")
	}
	for _, name := range []string{"Authorization", "Cookie", "Referer"} {
		if value := header.Get(name); value != "" {
			t.Errorf("the storage was shown %s", name)
		}
	}
}

func TestARegistryThatHangsIsNotWaitedFor(t *testing.T) {
	for _, part := range []string{"/manifests/", "/blobs/", "/token"} {
		t.Run(part, func(t *testing.T) {
			w := newWorld(t)
			w.push("public/app", "1", image{arch: "amd64", cmd: []string{"a"}})
			release := make(chan struct{})
			defer close(release) // before the server is closed
			ctx, giveUp := context.WithCancel(t.Context())
			w.answer = func(out http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, part) {
					return false
				}
				giveUp()
				select {
				case <-release:
				case <-r.Context().Done():
				}
				return true
			}
			w.refuses(w.lookFor(ctx, "shop", "public/app:1", []string{"amd64"}), Unavailable, "did not answer in time")
		})
	}
}
