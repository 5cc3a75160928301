// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// NewTransport returns a transport that trusts roots alone, checks the certificate for serverName, and speaks HTTP/1.1 over TLS 1.3 on a connection of its
// own per request. It uses no proxy, no compression and no cookies, whatever the environment says.
func NewTransport(roots *x509.CertPool, serverName string) *http.Transport {
	return newTransport(roots, serverName, new(net.Dialer).DialContext)
}

// newTransport has the network as a parameter: time is only tests' own in a network that is theirs.
func newTransport(roots *x509.CertPool, serverName string, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	config := &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS13}
	// HTTP/1.1: one request needs no multiplexing, and HTTP/2 would add a preface, a settings exchange and its frame buffers. DialTLSContext instead of
	// DialContext and TLSHandshakeTimeout: one limit for all of the connection.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, ConnectTimeout, errConnectTimeout)
			defer cancel()
			conn, err := connect(ctx, dial, config, network, address)
			if err != nil && errors.Is(context.Cause(ctx), errConnectTimeout) {
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

func connect(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), config *tls.Config, network, address string) (net.Conn, error) {
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}
