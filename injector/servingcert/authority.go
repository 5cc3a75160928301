// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/internal/pki"
)

// Lifetimes, and what they are derived from.
const (
	// caLife is long enough that a rotation is rare and short enough that it is exercised. A replaced CA stays trusted for a third of it, far longer than
	// pki.LeafLife, for which a leaf it signed can be in use.
	caLife = 365 * 24 * time.Hour
	// overlap is how long a new CA is published before it signs: every API server has seen the webhook configuration by then.
	overlap = time.Hour
)

// authority is a CA certificate, with its key unless it is only trusted any more.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	ca   *pki.CA // nil if it is only trusted
}

// newAuthority creates a CA that can sign for host and nothing else: the bundle it ends up in is only ever used to check the webhook.
func newAuthority(host string, now time.Time) (*authority, error) {
	ca, err := pki.NewCA(pki.Options{CommonName: "lanyard-injector-ca", Life: caLife, Host: host}, now)
	if err != nil {
		return nil, err
	}
	return &authority{cert: ca.Certificate(), pem: ca.CertPEM(), ca: ca}, nil
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
	return now.After(a.cert.NotBefore.Add(pki.Backdate + overlap))
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
	if a.ca, err = pki.ParseCA(cert, key); err != nil {
		return nil, fmt.Errorf("parsing CA key: %w", errNoPair) // the cause may quote the key's encoding
	}
	return a, nil
}
