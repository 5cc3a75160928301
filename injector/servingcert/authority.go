// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Lifetimes, and what they are derived from.
const (
	// caLife is long enough that a rotation is rare and short enough that it is exercised.
	caLife = 365 * 24 * time.Hour
	// leafLife bounds what a stolen leaf key is good for. It must be far below the third of caLife for which a replaced CA stays trusted.
	leafLife = 7 * 24 * time.Hour
	// overlap is how long a new CA is published before it signs: every API server has seen the webhook configuration by then.
	overlap = time.Hour
	// backdate allows for clocks that are behind.
	backdate = 5 * time.Minute
)

// authority is a CA certificate, with its key unless it is only trusted any more.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

// newAuthority creates a CA that can sign for host and nothing else: the bundle it ends up in is only ever used to check the webhook.
func newAuthority(host string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating CA key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "lanyard-injector-ca"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		PermittedDNSDomains: []string{host}, PermittedDNSDomainsCritical: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("creating CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing new CA: %w", err)
	}
	return &authority{cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: key}, nil
}

// sign creates a serving certificate for host.
func (a *authority) sign(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating leaf key: %w", err)
	}
	notAfter := now.Add(leafLife)
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "lanyard-injector"}, DNSNames: []string{host},
		NotBefore: now.Add(-backdate), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("signing leaf: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing new leaf: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// signed reports whether a, or a CA with its key, signed leaf.
func (a *authority) signed(leaf *x509.Certificate) bool {
	return leaf.CheckSignatureFrom(a.cert) == nil
}

func (a *authority) expired(now time.Time) bool { return !now.Before(a.cert.NotAfter) }

// due reports whether two thirds of the CA's life are over.
func (a *authority) due(now time.Time) bool { return now.After(a.cert.NotBefore.Add(caLife * 2 / 3)) }

// published reports whether the CA has been published for long enough to sign.
func (a *authority) published(now time.Time) bool {
	return now.After(a.cert.NotBefore.Add(backdate + overlap))
}

var errNoPair = errors.New("certificate and key do not belong together")

// parseAuthority reads a CA; key may be empty.
func parseAuthority(cert, key []byte) (*authority, error) {
	block, rest := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("parsing CA: not one PEM certificate")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing CA: %w", err)
	}
	a := &authority{cert: parsed, pem: pem.EncodeToMemory(block)}
	if len(key) == 0 {
		return a, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("parsing CA key: %w", errNoPair) // the cause may quote the key's encoding
	}
	a.key = pair.PrivateKey.(crypto.Signer)
	return a, nil
}

// keyPEM encodes the key.
func (a *authority) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encoding CA key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
