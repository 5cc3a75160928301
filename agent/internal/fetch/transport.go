// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
)

// NewTransport returns a transport that trusts roots alone, checks the certificate for serverName, and speaks HTTP/1.1 over TLS 1.3 on a connection of its
// own per request. It uses no proxy, no compression and no cookies, whatever the environment says.
func NewTransport(roots *x509.CertPool, serverName string) *http.Transport {
	dialer := &tls.Dialer{
		NetDialer: &net.Dialer{},
		Config:    &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS13},
	}
	// HTTP/1.1: one request needs no multiplexing, and HTTP/2 would add a preface, a settings exchange and its frame buffers. DialTLSContext instead of
	// DialContext and TLSHandshakeTimeout: one limit for all of the connection.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, ConnectTimeout, errConnectTimeout)
			defer cancel()
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil && context.Cause(ctx) == errConnectTimeout {
				return nil, fmt.Errorf("%w: %w", errConnectTimeout, err)
			}
			return conn, err
		},
		Protocols:              &protocols,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
}
