// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Limits of a transport. The idle connections are few because a registry may have thousands of providers and most reads come in bursts that one connection serves over HTTP/2.
const (
	dialTimeout      = 3 * time.Second
	handshakeTimeout = 3 * time.Second
	maxHeaderBytes   = 64 << 10
	maxIdle          = 2
	idleTimeout      = 60 * time.Second
)

// Transport returns a transport that connects only to what the guard allows. It neither uses a proxy nor asks for compression; tlsConfig is used as given. The caller
// owns it and closes its idle connections; a client that uses it must refuse redirects itself.
func (g *Guard) Transport(tlsConfig *tls.Config) *http.Transport {
	return g.transport(tlsConfig, nil)
}

func (g *Guard) transport(tlsConfig *tls.Config, resolver *net.Resolver) *http.Transport {
	return &http.Transport{
		DialContext:            g.dial(resolver),
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxIdle,
		MaxIdleConns:           maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// dial returns a dialer that checks each address it is about to connect to. The check sits between the resolution of the name and the connect call: there is no second look-up that could answer
// differently.
func (g *Guard) dial(resolver *net.Resolver) func(ctx context.Context, network, address string) (net.Conn, error) {
	open := net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: resolver}
	guarded := open
	guarded.Control = func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: the dialer names no IP address", ErrDenied)
		}
		return g.Check(target.Addr())
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("splitting the address to dial: %w", err)
		}
		if g.exempt(host) {
			return open.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
}
