// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/lanyard-dev/lanyard/e2e/internal/pki"
)

// imageRegistry is an image registry on this machine, behind TLS, that shows its one image to who knows the password.
type imageRegistry struct {
	image     string // by its tag
	host      string
	authority []byte // PEM
	user      string
	password  string
}

// startImageRegistry serves the test image until the test ends.
func startImageRegistry(t *testing.T) *imageRegistry {
	t.Helper()
	address, err := thisMachine(lanyard.Cluster.NodeIP())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Server("registry", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(authority.CA().Cert)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	r := &imageRegistry{host: listener.Addr().String(), authority: ca, user: "puller", password: "canary-of-the-image-registry"}
	r.image = r.host + "/private/probe:1"
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if err := pushProbe(store, "private/probe", "1"); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, _ := q.BasicAuth(); user != r.user || password != r.password {
			w.Header().Set("Www-Authenticate", `Basic realm="images"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, q)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, pair.Cert, pair.Key) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return r
}

// thisMachine is the address by which the node, and its pods, reach this machine.
func thisMachine(node netip.Addr) (netip.Addr, error) {
	conn, err := net.Dial("udp", netip.AddrPortFrom(node, 9).String()) // sends nothing
	if err != nil {
		return netip.Addr{}, fmt.Errorf("finding the way to the node: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// pushProbe gives the test image to a registry.
func pushProbe(store http.Handler, repository, tag string) error {
	archive, err := lanyard.ProbeArchive()
	if err != nil {
		return err
	}
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return fmt.Errorf("reading the test image: %w", err)
	}
	// An image of its own: once the kubelet has pulled an image with a credential, pods of it need that, also those of the one that was loaded into the node under another name.
	made, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("reading the test image: %w", err)
	}
	config := made.Config
	config.Labels = map[string]string{"dev.lanyard.repository": repository}
	if image, err = mutate.Config(image, config); err != nil {
		return fmt.Errorf("making the test image one of its own: %w", err)
	}
	send := func(method, path, contentType string, body []byte) error {
		q := httptest.NewRequest(method, path, bytes.NewReader(body))
		q.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		if store.ServeHTTP(w, q); w.Code >= 300 {
			return fmt.Errorf("pushing the test image: status %d", w.Code)
		}
		return nil
	}
	blob := func(digest v1.Hash, body []byte) error {
		return send(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+digest.String(), "application/octet-stream", body)
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		body, err := io.ReadAll(content)
		_ = content.Close()
		if err != nil {
			return err
		}
		if err := blob(digest, body); err != nil {
			return err
		}
	}
	text, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	name, err := image.ConfigName()
	if err != nil {
		return err
	}
	if err := blob(name, text); err != nil {
		return err
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	mediaType, err := image.MediaType()
	if err != nil {
		return err
	}
	return send(http.MethodPut, "/v2/"+repository+"/manifests/"+tag, string(mediaType), manifest)
}
