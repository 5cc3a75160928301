// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
)

// TestAnImageWithoutCertificatesTrustsThePublicAuthorities looks at what the program trusts where the system has no certificates, as in its image.
func TestAnImageWithoutCertificatesTrustsThePublicAuthorities(t *testing.T) {
	const inImage = "IN_IMAGE"
	if os.Getenv(inImage) == "" {
		inner := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		inner.Env = append(os.Environ(), inImage+"=1", "SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent")
		if out, err := inner.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	roots, err := x509.SystemCertPool()
	if err != nil || roots.Equal(x509.NewCertPool()) {
		t.Fatalf("no authority is trusted, %v", err)
	}
}
