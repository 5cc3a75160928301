// SPDX-License-Identifier: Apache-2.0

package images

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// world is a real image registry behind TLS and token authentication, a client that may ask it, and the Secrets of a cluster. Repositories below public/ are everybody's, those
// below private/ are for whom the registry knows the password of.
type world struct {
	t      *testing.T
	server *httptest.Server
	store  http.Handler // the registry without authentication
	host   string       // of the registry, as images name it
	client *Client

	mu        sync.Mutex // guards the rest
	passwords map[string]string
	secrets   map[string]*corev1.Secret // :: namespace/name → Secret
	forbidden map[string]bool           // namespaces
	reads     []string                  // of Secrets
	requests  []string                  // of the registry: method and path
	// answer, if it returns true, is the registry's answer instead.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newWorld(t *testing.T, more ...string) *world {
	t.Helper()
	w := &world{t: t, store: registry.New(registry.Logger(log.New(io.Discard, "", 0))), passwords: map[string]string{}, secrets: map[string]*corev1.Secret{}, forbidden: map[string]bool{}}
	w.server = httptest.NewUnstartedServer(w)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are refused
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.host = strings.TrimPrefix(w.server.URL, "https://")
	client, err := New(Config{Registries: append([]string{w.host}, more...), Secrets: w})
	if err != nil {
		t.Fatal(err)
	}
	w.client = client
	w.trust(w.server)
	t.Cleanup(func() { client.http.Load().Transport.(*transport).close() })
	return w
}

// trust has the client trust the certificates of servers.
func (w *world) trust(servers ...*httptest.Server) {
	w.t.Helper()
	var text []byte
	for _, s := range servers {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	path := filepath.Join(w.t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.LoadCA(path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.requests = append(w.requests, r.Method+" "+r.URL.Path)
	answer := w.answer
	w.mu.Unlock()
	if answer != nil && answer(out, r) {
		return
	}
	if r.URL.Path == "/token" {
		w.token(out, r)
		return
	}
	user, known := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer of-")
	switch {
	case !known:
		out.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="images"`, w.server.URL))
		http.Error(out, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
	case strings.HasPrefix(r.URL.Path, "/v2/private/") && user == "":
		http.Error(out, `{"errors":[{"code":"DENIED"}]}`, http.StatusForbidden)
	default:
		w.store.ServeHTTP(out, r)
	}
}

// token tells people by their password, and gives everybody else the token of nobody.
func (w *world) token(out http.ResponseWriter, r *http.Request) {
	user, password, given := r.BasicAuth()
	w.mu.Lock()
	known := w.passwords[user] == password && password != ""
	w.mu.Unlock()
	if given && !known {
		http.Error(out, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(out).Encode(map[string]string{"token": "of-" + user})
}

// Secret is the cluster's API.
func (w *world) Secret(_ context.Context, namespace, name string) (*corev1.Secret, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = append(w.reads, namespace+"/"+name)
	resource := schema.GroupResource{Resource: "secrets"}
	switch secret, ok := w.secrets[namespace+"/"+name]; {
	case w.forbidden[namespace]:
		return nil, apierrors.NewForbidden(resource, name, nil)
	case !ok:
		return nil, apierrors.NewNotFound(resource, name)
	default:
		return secret, nil
	}
}

// pullSecret makes a Secret for pulling images from the registry.
func (w *world) pullSecret(namespace, name, user, password string) {
	text, err := json.Marshal(map[string]any{"auths": map[string]any{w.host: map[string]string{"username": user, "password": password}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[namespace+"/"+name] = &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: text}}
}

// asked returns the requests so far whose path has a part, and forgets all.
func (w *world) asked(part string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, request := range w.requests {
		if strings.Contains(request, part) {
			n++
		}
	}
	w.requests = nil
	return n
}

// send gives something to the registry.
func (w *world) send(method, path, contentType string, body []byte) {
	w.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	out := httptest.NewRecorder()
	if w.store.ServeHTTP(out, r); out.Code >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, out.Code, out.Body)
	}
}

// image is one to be pushed.
type image struct {
	os, arch, variant string // linux if there is no os
	entrypoint, cmd   []string
	docker            bool // in Docker's format
	nameless          bool // without a platform in its index
}

// push pushes an image under a name, which may be a tag or, if it is empty, none.
func (w *world) push(repository, tag string, i image) ocispec.Descriptor {
	w.t.Helper()
	var c config
	c.OS, c.Architecture, c.Config.Entrypoint, c.Config.Cmd = i.os, i.arch, i.entrypoint, i.cmd
	if c.OS == "" {
		c.OS = "linux"
	}
	text, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(text), Size: int64(len(text))}
	w.send(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+desc.Digest.String(), "application/octet-stream", text)
	mediaType := ocispec.MediaTypeImageManifest
	if i.docker {
		mediaType = "application/vnd.docker.distribution.manifest.v2+json"
	}
	pushed := w.document(repository, tag, mediaType, map[string]any{"schemaVersion": 2, "mediaType": mediaType, "config": desc, "layers": []any{}})
	if !i.nameless {
		pushed.Platform = &ocispec.Platform{OS: c.OS, Architecture: i.arch, Variant: i.variant}
	}
	return pushed
}

// index pushes an index of images.
func (w *world) index(repository, tag string, docker bool, images ...image) ocispec.Descriptor {
	w.t.Helper()
	mediaType := ocispec.MediaTypeImageIndex
	if docker {
		mediaType = "application/vnd.docker.distribution.manifest.list.v2+json"
	}
	var all []ocispec.Descriptor
	for _, i := range images {
		all = append(all, w.push(repository, "", i))
	}
	return w.document(repository, tag, mediaType, map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": all})
}

func (w *world) document(repository, tag, mediaType string, value any) ocispec.Descriptor {
	w.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		w.t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	if tag == "" {
		tag = desc.Digest.String()
	}
	w.send(http.MethodPut, "/v2/"+repository+"/manifests/"+tag, mediaType, text)
	return desc
}

// look looks one image up for a pod of namespace shop.
func (w *world) look(image string, secrets ...string) Answer {
	return w.lookFor(w.t.Context(), "shop", image, []string{"amd64", "arm64"}, secrets...)
}

func (w *world) lookFor(ctx context.Context, namespace, image string, architectures []string, secrets ...string) Answer {
	name := w.host + "/" + image
	return w.client.Look(ctx, Request{Namespace: namespace, PullSecrets: secrets, Architectures: architectures, Images: []string{name}})[name]
}

// wants checks an answer.
func (w *world) wants(got Answer, image string, words ...string) {
	w.t.Helper()
	if got.Err != nil {
		w.t.Errorf("%s: %s: %s", image, got.Err.Kind, got.Err)
	} else if runs := slices.Concat(got.Entrypoint, got.Cmd); !slices.Equal(runs, words) {
		w.t.Errorf("%s runs %q, want %q", image, runs, words)
	}
}

// refuses checks a refusal. No text tells a password.
func (w *world) refuses(got Answer, kind Kind, part string) {
	w.t.Helper()
	if got.Err == nil {
		w.t.Errorf("it runs %q, want %s", slices.Concat(got.Entrypoint, got.Cmd), kind)
		return
	}
	if got.Err.Kind != kind || !strings.Contains(got.Err.Text, part) {
		w.t.Errorf("%s: %s, want %s with %q", got.Err.Kind, got.Err, kind, part)
	}
	if strings.Contains(got.Err.Text, "canary") {
		w.t.Errorf("the text tells what it should not: %s", got.Err)
	}
}
