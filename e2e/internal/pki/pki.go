// SPDX-License-Identifier: Apache-2.0

// Package pki issues the certificates of one disposable cluster: a certificate
// authority, and the serving and client certificates it signs. Keys are plain
// files in the cluster's directory and are worth nothing elsewhere.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// validity bounds every certificate: a cluster is meant to live for minutes,
// and one that a developer keeps should survive a long weekend.
const validity = 30 * 24 * time.Hour

// Authority is a certificate authority whose files live in one directory:
// ca.crt, ca.key and NAME.crt, NAME.key of everything it issued.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// New creates an authority in dir, which must exist.
func New(dir string) (*Authority, error) {
	a := &Authority{dir: dir}
	template, key, err := newTemplate(pkix.Name{CommonName: "lanyard-e2e"})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	a.cert, a.key = template, key
	return a, a.sign("ca", template, key)
}

// Client issues a client certificate for user in groups, and returns its files.
func (a *Authority) Client(name, user string, groups ...string) (Pair, error) {
	template, key, err := newTemplate(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.pair(name), a.sign(name, template, key)
}

// Server issues a serving certificate for the given names and addresses.
func (a *Authority) Server(name string, hosts []string, addresses ...netip.Addr) (Pair, error) {
	template, key, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = hosts
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
	}
	return a.pair(name), a.sign(name, template, key)
}

// CA returns the files of the authority itself.
func (a *Authority) CA() Pair { return a.pair("ca") }

// Pair names the PEM files of a certificate and its private key.
type Pair struct{ Cert, Key string }

func (a *Authority) pair(name string) Pair {
	return Pair{Cert: filepath.Join(a.dir, name+".crt"), Key: filepath.Join(a.dir, name+".key")}
}

func (a *Authority) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("signing certificate of %s: %w", name, err)
	}
	pair := a.pair(name)
	if err := writePEM(pair.Cert, "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(pair.Key, key)
}

// ServiceAccountKey writes a new RSA key for signing service-account tokens to
// path. It is RSA because nearly every real cluster's is, and the products
// under test parse those tokens.
func ServiceAccountKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generating service-account key: %w", err)
	}
	return writeKey(path, key)
}

func newTemplate(subject pkix.Name) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("generating serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// Clocks of two processes on one machine agree; the minute is for a step of the clock.
		NotBefore: now.Add(-time.Minute),
		NotAfter:  now.Add(validity),
	}, key, nil
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding key: %w", err)
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", kind, err)
	}
	return nil
}
