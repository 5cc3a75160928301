// SPDX-License-Identifier: Apache-2.0

// Package pki makes the certificates Lanyard serves with when nobody provides others: one long-lived certificate authority per component, kept in a
// Kubernetes Secret, and short-lived leaves that each process signs for itself and never writes down.
//
// It is not a general authority: keys are ECDSA P-256, a CA may sign leaves only, leaves serve TLS only.
package pki

import (
	"cmp"
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

// Lifetimes.
const (
	// CALife is long because replacing a CA means handing its successor to every client before the first leaf is signed by it.
	CALife = 10 * 365 * 24 * time.Hour
	// LeafLife is short because a leaf lives in one process, which signs the next one at two thirds of it.
	LeafLife = 7 * 24 * time.Hour
	// Backdate is how long before its making a certificate becomes valid, for clocks that run behind ours.
	Backdate = 5 * time.Minute
)

// CA is a certificate authority with its private key. It is immutable and safe for concurrent use.
type CA struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
}

// Options describe a new authority.
type Options struct {
	CommonName string
	Life       time.Duration // [CALife] if 0
	// Host limits the authority to this DNS name and those below it; empty limits nothing.
	Host string
}

// NewCA makes a self-signed authority that begins at now, less [Backdate].
func NewCA(o Options, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the CA key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: o.CommonName},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(cmp.Or(o.Life, CALife)),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if o.Host != "" {
		template.PermittedDNSDomains, template.PermittedDNSDomainsCritical = []string{o.Host}, true
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the new CA certificate: %w", err)
	}
	return &CA{cert: cert, key: key, certPEM: encode("CERTIFICATE", der)}, nil
}

// ParseCA reads what [CA.CertPEM] and [CA.KeyPEM] wrote. It refuses a certificate that is not a CA and a key that is not the certificate's. Errors do not
// quote the key.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the CA certificate and key: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("reading the CA key: not an ECDSA key")
	}
	if !pair.Leaf.IsCA {
		return nil, errors.New("reading the CA certificate: it is not a certificate authority")
	}
	return &CA{cert: pair.Leaf, key: key, certPEM: encode("CERTIFICATE", pair.Leaf.Raw)}, nil
}

// Certificate returns the certificate, which the caller does not change.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// CertPEM returns the certificate, which clients verify leaves against.
func (ca *CA) CertPEM() []byte { return ca.certPEM }

// KeyPEM returns the private key in PKCS #8. It belongs into a Secret and nowhere else.
func (ca *CA) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the CA key: %w", err)
	}
	return encode("PRIVATE KEY", der), nil
}

// NotAfter is when the authority ends.
func (ca *CA) NotAfter() time.Time { return ca.cert.NotAfter }

// Leaf signs a server certificate with a new key, valid from now for [LeafLife] or until the CA ends, for the given DNS names, of which there is at least
// one.
func (ca *CA) Leaf(dnsNames []string, now time.Time) (*tls.Certificate, error) {
	if len(dnsNames) == 0 {
		return nil, errors.New("signing a leaf: it needs a DNS name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a leaf key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	end := now.Add(LeafLife)
	if end.After(ca.cert.NotAfter) {
		end = ca.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: dnsNames[0]},
		DNSNames:     dnsNames,
		NotBefore:    now.Add(-Backdate),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("signing a leaf: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the new leaf: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280: at most 20 octets, positive
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return serial, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
