// SPDX-License-Identifier: Apache-2.0

package images

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/lanyard-dev/lanyard/internal/egress"
)

// maxRedirects bounds how often a blob may be somewhere else.
const maxRedirects = 3

// errElsewhere means that a registry leads to where nobody follows it.
var errElsewhere = errors.New("it leads elsewhere than a registry may")

// transport lets requests to the operator's registries go wherever these are, and others nowhere but out.
type transport struct {
	registries    registries
	open, guarded *http.Transport
}

func newTransport(r registries, roots *x509.CertPool) *transport {
	tlsConfig := func() *tls.Config { return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12} }
	everywhere := egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	return &transport{registries: r, open: everywhere.Transport(tlsConfig()), guarded: new(egress.Guard).Transport(tlsConfig())}
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case t.registries.has(r.URL):
		return t.open.RoundTrip(r)
	case r.URL.Scheme == "https":
		return t.guarded.RoundTrip(r)
	}
	return nil, errElsewhere
}

// close ends connections nobody uses.
func (t *transport) close() {
	t.open.CloseIdleConnections()
	t.guarded.CloseIdleConnections()
}

// checkRedirect follows redirects of blobs, which registries keep in other people's storage. What is there is checked against its digest.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || !strings.Contains(first.URL.Path, "/blobs/") || r.URL.Scheme != "https" || len(via) > maxRedirects {
		return errElsewhere
	}
	for _, header := range []string{"Authorization", "Cookie", "Referer"} {
		r.Header.Del(header)
	}
	return nil
}

// roots returns the system's authorities and those of a PEM text, which may be empty.
func roots(text []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's authorities: %w", err)
	}
	if len(text) > 0 && !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the image registries' CA file holds no certificate")
	}
	return pool, nil
}
