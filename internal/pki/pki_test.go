// SPDX-License-Identifier: Apache-2.0

package pki_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/internal/pki"
)

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Options{CommonName: "lanyard test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func verify(t *testing.T, ca *pki.CA, leaf *x509.Certificate, name string, at time.Time) error {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca.CertPEM()) {
		t.Fatal("CertPEM holds no certificate")
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

func TestLeafVerifiesAgainstItsAuthorityOnly(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	now := time.Now()
	cert, err := ca.Leaf([]string{"registry.lanyard.svc", "localhost"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"registry.lanyard.svc", "localhost"} {
		if err := verify(t, ca, cert.Leaf, name, now); err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
	if verify(t, ca, cert.Leaf, "evil.example", now) == nil {
		t.Error("verified for a name it was not signed for")
	}
	if verify(t, other, cert.Leaf, "localhost", now) == nil {
		t.Error("verified against another authority")
	}
	if verify(t, ca, cert.Leaf, "localhost", now.Add(pki.LeafLife+time.Second)) == nil {
		t.Error("verified after its end")
	}
	if _, err := ca.Leaf(nil, now); err == nil {
		t.Error("signed a leaf without a name")
	}
}

func TestAnAuthorityOfOneHostSignsForNoOther(t *testing.T) {
	now := time.Now()
	ca, err := pki.NewCA(pki.Options{CommonName: "one host", Host: "hook.lanyard.svc", Life: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"hook.lanyard.svc": true, "kubernetes.default.svc": false} {
		cert, err := ca.Leaf([]string{name}, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(t, ca, cert.Leaf, name, now); (err == nil) != ok {
			t.Errorf("a leaf for %s verifies: %v", name, err)
		}
		if !cert.Leaf.NotAfter.Equal(ca.NotAfter()) {
			t.Errorf("the leaf ends at %v, after its authority at %v", cert.Leaf.NotAfter, ca.NotAfter())
		}
	}
}

func TestAuthorityReadsBack(t *testing.T) {
	ca := newCA(t)
	keyPEM, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := pki.ParseCA(ca.CertPEM(), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.CertPEM(), ca.CertPEM()) || !again.NotAfter().Equal(ca.NotAfter()) {
		t.Error("the authority changed on the way")
	}
	leaf, err := ca.Leaf([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := newCA(t).KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"another authority's key":     {ca.CertPEM(), otherKey},
		"no certificate":              {nil, keyPEM},
		"no key":                      {ca.CertPEM(), nil},
		"a leaf instead of authority": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}), keyPEM},
	} {
		if _, err := pki.ParseCA(pair[0], pair[1]); err == nil {
			t.Errorf("ParseCA accepted %s", name)
		} else if strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("%s: the error quotes a key", name)
		}
	}
}

func TestLeafSourceRenewsBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t)
		source, err := pki.NewLeafSource(ca, []string{"localhost"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { source.Run(ctx); close(done) }()
		seen := map[string]bool{}
		for range 4 * 7 * 24 { // four lives of a leaf, hour by hour
			time.Sleep(time.Hour)
			synctest.Wait()
			cert, err := source.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(cert.Leaf.NotAfter); left < 24*time.Hour {
				t.Fatalf("served a leaf with %v left", left)
			}
			seen[cert.Leaf.SerialNumber.String()] = true
		}
		if len(seen) < 5 || len(seen) > 10 {
			t.Errorf("served %d leaves in four lives, want one every 57 to 67 %% of a life", len(seen))
		}
		cancel()
		<-done
	})
}
