// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// authority signs certificates of both kinds into a directory.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign writes <name>.crt and <name>.key.
func (a *authority) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(a.file(name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

// serveEtcd runs an etcd of its own that talks to clients of the authority only.
func serveEtcd(t *testing.T, a *authority) (endpoint string) {
	t.Helper()
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	config.LogLevel = "panic"
	config.UnsafeNoFsync = true
	config.ListenPeerUrls = nil
	config.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ClientTLSInfo = transport.TLSInfo{CertFile: a.file("server.crt"), KeyFile: a.file("server.key"), TrustedCAFile: a.file("ca.crt"), ClientCertAuth: true}
	server, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-t.Context().Done():
	}
	return "https://" + server.Clients[0].Addr().String()
}

func TestDialAuthenticatesBothSides(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	endpoint := serveEtcd(t, ours)
	for _, a := range []*authority{ours, other} {
		a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	for name, tc := range map[string]struct {
		endpoints store.Endpoints
		ok        bool
	}{
		"with a certificate of etcd's authority": {store.Endpoints{CAFile: ours.file("ca.crt"), CertFile: ours.file("client.crt"), KeyFile: ours.file("client.key")}, true},
		"without a certificate":                  {store.Endpoints{CAFile: ours.file("ca.crt")}, false},
		"with a certificate of another":          {store.Endpoints{CAFile: ours.file("ca.crt"), CertFile: other.file("client.crt"), KeyFile: other.file("client.key")}, false},
		"to an etcd of another authority":        {store.Endpoints{CAFile: other.file("ca.crt"), CertFile: ours.file("client.crt"), KeyFile: ours.file("client.key")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.endpoints.URLs = []string{endpoint}
			client, err := store.Dial(tc.endpoints)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if !tc.ok { // it is tried until the deadline
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			if _, err = client.Get(ctx, "x"); (err == nil) != tc.ok {
				t.Errorf("reading: %v", err)
			}
		})
	}
}
