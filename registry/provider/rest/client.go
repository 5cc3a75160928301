// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/provider"
)

const maxBundle = 256 << 10 // the system bundle of a Linux distribution has about 220 KB

// TLS returns the configuration of a client that accepts servers whose certificates an authority of caBundle (PEM; empty means the system's) has signed for serverName (empty
// means the host of the address).
func TLS(caBundle, serverName string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	switch {
	case caBundle == "":
		return config, nil
	case len(caBundle) > maxBundle:
		return nil, fmt.Errorf("more than %d bytes", maxBundle)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM([]byte(caBundle)) {
		return nil, errors.New("no certificate in PEM")
	}
	return config, nil
}

// Client returns a client that connects where the guard allows, follows no redirect and reads no answer beyond [provider.MaxAnswer]. The caller closes its idle connections.
func Client(guard *egress.Guard, config *tls.Config) *http.Client {
	return &http.Client{
		Transport:     bounded{guard.Transport(config)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var (
	errTooLarge = errors.New("answer too large")
	errEncoded  = errors.New("answer compressed though nobody asked for it")
)

// bounded is a transport whose answers end at [provider.MaxAnswer] and are not compressed. Libraries read bodies to the end by themselves, so the bound sits below them.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		resp.Body.Close()
		return nil, errEncoded
	}
	resp.Body = &boundedBody{resp.Body, provider.MaxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	if len(p) > b.left+1 { // one more byte than allowed tells the end from the bound
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	if b.left < 0 {
		return n - 1, errTooLarge
	}
	return n, err
}
