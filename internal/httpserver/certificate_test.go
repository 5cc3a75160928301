// SPDX-License-Identifier: Apache-2.0

package httpserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/httpserver"
	"github.com/lanyard-dev/lanyard/internal/pki"
)

// pair makes a self-signed leaf.
func pair(t *testing.T, serial int64) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"registry.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// kubelet mounts a Secret as the kubelet does: files are links to ..data, which is swapped as a whole.
type kubelet struct {
	t   *testing.T
	dir string
	n   int
}

func (k *kubelet) write(certPEM, keyPEM []byte) {
	k.t.Helper()
	k.n++
	real := filepath.Join(k.dir, fmt.Sprintf("..%d", k.n))
	must := func(err error) {
		k.t.Helper()
		if err != nil {
			k.t.Fatal(err)
		}
	}
	must(os.Mkdir(real, 0o700))
	must(os.WriteFile(filepath.Join(real, "tls.crt"), certPEM, 0o600))
	must(os.WriteFile(filepath.Join(real, "tls.key"), keyPEM, 0o600))
	must(os.Symlink(filepath.Base(real), filepath.Join(k.dir, "..tmp")))
	must(os.Rename(filepath.Join(k.dir, "..tmp"), filepath.Join(k.dir, "..data")))
	if k.n == 1 {
		must(os.Symlink("..data/tls.crt", filepath.Join(k.dir, "tls.crt")))
		must(os.Symlink("..data/tls.key", filepath.Join(k.dir, "tls.key")))
	}
}

// lines tells when something was logged.
type lines chan string

func (lines) Enabled(context.Context, slog.Level) bool { return true }
func (l lines) Handle(_ context.Context, r slog.Record) error {
	select {
	case l <- r.Message:
	default: // nobody waits for what repeats
	}
	return nil
}
func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l lines) WithGroup(string) slog.Handler      { return l }

func (l lines) await(t *testing.T, want string) {
	t.Helper()
	for {
		select {
		case got := <-l:
			if got == want {
				return
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%q was never logged", want)
		}
	}
}

func serial(t *testing.T, c *httpserver.Certificate) int64 {
	t.Helper()
	got, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: "registry.test"})
	if err != nil {
		t.Fatal(err)
	}
	return got.Leaf.SerialNumber.Int64()
}

func TestACertificateIsReplacedAndABadOneIsNot(t *testing.T) {
	k := &kubelet{t: t, dir: t.TempDir()}
	k.write(pair(t, 1))
	log := make(lines, 64)
	c, err := httpserver.LoadCertificate(k.dir, nil, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	if got := serial(t, c); got != 1 {
		t.Errorf("serial = %d", got)
	}

	cert, _ := pair(t, 2)
	_, key := pair(t, 3)
	k.write(cert, key) // of two different pairs
	log.await(t, "serving certificate kept: the new files cannot be used")
	if got := serial(t, c); got != 1 {
		t.Errorf("serial = %d after files that do not match", got)
	}
	k.write([]byte("garbage"), key)
	log.await(t, "serving certificate kept: the new files cannot be used")
	if got := serial(t, c); got != 1 {
		t.Errorf("serial = %d after garbage", got)
	}
	k.write(pair(t, 4))
	log.await(t, "serving certificate reloaded")
	if got := serial(t, c); got != 4 {
		t.Errorf("serial = %d after a good pair", got)
	}
}

func TestAnAuthoritySignsLeaves(t *testing.T) {
	ca, err := pki.NewCA(pki.Options{CommonName: "test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{t: t, dir: t.TempDir()}
	k.write(ca.CertPEM(), key)
	c, err := httpserver.LoadCertificate(k.dir, []string{"registry.test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: "registry.test"})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	if got.Leaf.IsCA {
		t.Error("the authority itself is served")
	}
	if _, err := got.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "registry.test"}); err != nil {
		t.Error(err)
	}
}

func TestWithoutACertificateNothingStarts(t *testing.T) {
	if _, err := httpserver.LoadCertificate(t.TempDir(), nil, nil); err == nil {
		t.Error("an empty directory is accepted")
	}
	k := &kubelet{t: t, dir: t.TempDir()}
	cert, _ := pair(t, 1)
	_, key := pair(t, 2)
	k.write(cert, key)
	if _, err := httpserver.LoadCertificate(k.dir, nil, nil); err == nil {
		t.Error("a pair that does not match is accepted")
	}
}
