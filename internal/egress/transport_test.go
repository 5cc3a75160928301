// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// server returns a TLS server on loopback, its port, and how often it was asked.
func server(t *testing.T) (port string, roots *x509.CertPool, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	_, port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return port, roots, asked
}

func get(t *testing.T, transport *http.Transport, url string) error {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestANameThatTurnsToLoopbackIsRefusedWhenDialled(t *testing.T) {
	port, roots, asked := server(t)
	// The name leads to a public address the first time and to loopback ever after: a check before the dial would see only the first answer.
	names := fakeDNS(t, "8.8.8.8", "127.0.0.1")
	if got, err := names.LookupHost(t.Context(), "example.com"); err != nil || len(got) != 1 || got[0] != "8.8.8.8" {
		t.Fatalf("first look-up = %v, %v", got, err)
	}
	var guard Guard
	err := get(t, guard.transport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, names), "https://example.com:"+port)
	if !errors.Is(err, ErrDenied) {
		t.Errorf("error = %v, want ErrDenied", err)
	}
	if asked.Load() != 0 {
		t.Error("the server on loopback was reached")
	}
}

func TestAnAllowedHostMayLeadAnywhere(t *testing.T) {
	port, roots, asked := server(t)
	guard := Guard{AllowHosts: []string{"Example.com."}}
	if err := get(t, guard.transport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, fakeDNS(t, "127.0.0.1")), "https://example.com:"+port); err != nil {
		t.Error(err)
	}
	if asked.Load() != 1 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

func TestAnAllowedNetworkIsReached(t *testing.T) {
	port, roots, _ := server(t)
	guard := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if err := get(t, guard.Transport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}), "https://127.0.0.1:"+port); err != nil {
		t.Error(err)
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	port, roots, asked := server(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	guard := Guard{AllowHosts: []string{"example.com"}}
	transport := guard.transport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, fakeDNS(t, "127.0.0.1"))
	if transport.Proxy != nil {
		t.Error("the transport has a proxy function")
	}
	if err := get(t, transport, "https://example.com:"+port); err != nil || asked.Load() != 1 {
		t.Errorf("error = %v, asked %d times", err, asked.Load())
	}
}

// fakeDNS returns a resolver whose A records are the answers one after the other; the last one repeats.
func fakeDNS(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go serveDNS(conn, answers)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func serveDNS(conn net.PacketConn, answers []string) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
			continue
		}
		q := m.Questions[0]
		m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeSuccess, nil
		if q.Type == dnsmessage.TypeA && strings.EqualFold(q.Name.String(), "example.com.") {
			a := netip.MustParseAddr(answers[0]).As4()
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 0}, Body: &dnsmessage.AResource{A: a}}}
			if len(answers) > 1 {
				answers = answers[1:]
			}
		}
		out, err := m.Pack()
		if err == nil {
			_, _ = conn.WriteTo(out, from)
		}
	}
}
