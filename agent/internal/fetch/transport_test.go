// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// serve starts a TLS server that keeps its complaints about handshakes to itself.
func serve(t *testing.T, handler http.HandlerFunc, configure func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{}
	if configure != nil {
		configure(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// certificate makes a self-signed one.
func certificate(t *testing.T, name string, from, to time.Time) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

func tryOnce(t *testing.T, url string, transport http.RoundTripper) error {
	t.Helper()
	c := newClient(t, nil, io.Discard)
	c.URL, c.Transport = url, transport
	_, err := c.try(t.Context(), asked)
	return err
}

func TestCertificatesThatAreNotAccepted(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		host     string
		from, to time.Time
		trusted  bool
		want     string
	}{
		"expired":              {"registry", now.Add(-2 * time.Hour), now.Add(-time.Hour), true, "compare the clock before the certificate"},
		"not yet valid":        {"registry", now.Add(time.Hour), now.Add(2 * time.Hour), true, "compare the clock before the certificate"},
		"for another name":     {"other", now.Add(-time.Hour), now.Add(time.Hour), true, "LANYARD_SERVER_NAME"},
		"of an unknown issuer": {"registry", now.Add(-time.Hour), now.Add(time.Hour), false, "no authority of LANYARD_CA signed it"},
	} {
		t.Run(name, func(t *testing.T) {
			pair, leaf := certificate(t, tc.host, tc.from, tc.to)
			var served atomic.Bool
			s := serve(t, func(http.ResponseWriter, *http.Request) { served.Store(true) }, func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
			roots := pool()
			if tc.trusted {
				roots = pool(leaf)
			}
			err := tryOnce(t, s.URL, NewTransport(roots, "registry"))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "being rotated") {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
			if !retryable(err) || served.Load() {
				t.Errorf("retryable: %v; the token left for an unknown peer: %v", retryable(err), served.Load())
			}
		})
	}
}

func TestTransportSpeaksOnlyWhatItMust(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	var seen *http.Request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	err := tryOnce(t, s.URL, NewTransport(pool(s.Certificate()), "example.com"))
	if status(err) != http.StatusTemporaryRedirect {
		t.Fatalf("error = %v, want the redirect itself", err)
	}
	if seen.URL.Path != wire.ResolvePath || seen.Method != http.MethodPost || seen.Proto != "HTTP/1.1" || !seen.Close || seen.TLS.Version != tls.VersionTLS13 {
		t.Errorf("asked %s %s by %s, close %v", seen.Method, seen.URL.Path, seen.Proto, seen.Close)
	}
	if got := seen.Header.Get("Accept-Encoding"); got != "" {
		t.Errorf("accepts encoding %q", got)
	}

	old := serve(t, func(http.ResponseWriter, *http.Request) {}, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	err = tryOnce(t, old.URL, NewTransport(pool(old.Certificate()), "example.com"))
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v", err)
	}
}

func TestErrorsNeverQuoteThePeer(t *testing.T) {
	pair, leaf := certificate(t, "registry", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	for name, text := range map[string]string{
		"no HTTP at all":          canary + "\r\n\r\n",
		"a broken status":         "HTTP/1.1 " + canary + "\r\n\r\n",
		"a broken header":         "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"endless headers":         "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(canary, 5000) + "\r\n\r\n",
		"a broken chunk":          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + canary,
		"a body cut off":          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n" + canary,
		"two contradicting sizes": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + canary + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			go answerRaw(listener, text)
			err = tryOnce(t, "https://"+listener.Addr().String(), NewTransport(pool(leaf), "registry"))
			if err == nil || strings.Contains(err.Error(), canary[:6]) || len(err.Error()) > 200 {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func answerRaw(listener net.Listener, text string) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 64<<10)
	_, _ = conn.Read(buf)
	_, _ = io.WriteString(conn, text)
}

// pipes is a network in memory with one server, so that time passes in it as in the bubble of a test: an answer is late because the test says so, never because
// the machine is busy.
type pipes chan net.Conn

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestAServerThatTricklesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, leaf := certificate(t, "registry", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		network := make(pipes)
		server := http.Server{
			ErrorLog: log.New(io.Discard, "", 0),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				flush := http.NewResponseController(w)
				for {
					if _, err := io.WriteString(w, " "); err != nil || flush.Flush() != nil {
						return
					}
					select {
					case <-time.After(time.Second):
					case <-r.Context().Done():
						return
					}
				}
			}),
		}
		go func() { _ = server.Serve(tls.NewListener(network, &tls.Config{Certificates: []tls.Certificate{pair}})) }()
		defer server.Close()
		began := time.Now()
		err := tryOnce(t, "https://registry", newTransport(pool(leaf), "registry", network.dial))
		if !errors.Is(err, context.DeadlineExceeded) || !retryable(err) {
			t.Errorf("error = %v, want a retryable deadline", err)
		}
		if took := time.Since(began); took != TryTimeout {
			t.Errorf("given up after %v", took)
		}
	})
}

func TestAPeerThatNeverFinishesItsHandshakeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := make(pipes, 1)
		began := time.Now()
		err := tryOnce(t, "https://registry", newTransport(pool(), "registry", network.dial))
		if !errors.Is(err, errConnectTimeout) || !retryable(err) {
			t.Errorf("error = %v, want the connect timeout", err)
		}
		if took := time.Since(began); took != ConnectTimeout {
			t.Errorf("given up after %v", took)
		}
	})
}
