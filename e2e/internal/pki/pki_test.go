// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A server with our certificate, and a client with our kubeconfig, authenticate
// each other.
func TestKubeconfigAuthenticatesBothSides(t *testing.T) {
	dir := t.TempDir()
	authority, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := authority.Server("server", []string{"kubernetes"}, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	user, err := authority.Client("user", "someone", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kubeconfig")

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := r.TLS.PeerCertificates[0].Subject
		_, _ = io.WriteString(w, subject.CommonName+" "+subject.Organization[0])
	}))
	certificate, err := tls.LoadX509KeyPair(serving.Cert, serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	if err := authority.WriteKubeconfig(path, server.URL, user); err != nil {
		t.Fatal(err)
	}

	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "someone system:masters" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	authority, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Client("user", "someone"); err != nil {
		t.Fatal(err)
	}
	if err := ServiceAccountKey(filepath.Join(dir, "service-account.key")); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	if len(files) != 3 {
		t.Errorf("got keys %v, want three", files)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", file, info.Mode().Perm())
		}
	}
}
