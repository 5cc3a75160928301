// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// quoted is what a peer puts into whatever it can have quoted.
const quoted = "CANARY-of-the-peer"

func TestWhyThereIsNoAnswer(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		ctx    context.Context
		err    error
		kind   provider.Kind
		reason provider.Reason
		says   string
	}{
		"the guard denies":         {t.Context(), fmt.Errorf("dialling: %w", egress.ErrDenied), provider.KindInvalid, provider.ReasonAddress, "does not allow"},
		"the caller left":          {gone, refused, provider.KindUnavailable, provider.ReasonTimeout, "in time"},
		"denied, and the end came": {gone, egress.ErrDenied, provider.KindInvalid, provider.ReasonAddress, "does not allow"},
		"a time ran out below":     {t.Context(), &net.OpError{Op: "read", Err: timeout{}}, provider.KindUnavailable, provider.ReasonTimeout, "in time"},
		"another authority":        {t.Context(), x509.UnknownAuthorityError{}, provider.KindUnavailable, provider.ReasonTLS, "authority"},
		"another host":             {t.Context(), x509.HostnameError{Certificate: &x509.Certificate{}, Host: quoted}, provider.KindUnavailable, provider.ReasonTLS, "another host"},
		"a certificate that ended": {t.Context(), x509.CertificateInvalidError{Reason: x509.Expired, Detail: quoted}, provider.KindUnavailable, provider.ReasonTLS, "expired"},
		"a certificate of no use":  {t.Context(), x509.CertificateInvalidError{Reason: x509.TooManyIntermediates, Detail: quoted}, provider.KindUnavailable, provider.ReasonTLS, "not accepted"},
		"not verified":             {t.Context(), &tls.CertificateVerificationError{Err: errors.New(quoted)}, provider.KindUnavailable, provider.ReasonTLS, "not accepted"},
		"no TLS":                   {t.Context(), tls.RecordHeaderError{Msg: quoted}, provider.KindUnavailable, provider.ReasonTLS, "no TLS"},
		"no such name":             {t.Context(), &net.OpError{Op: "dial", Err: &net.DNSError{Name: "vault.example"}}, provider.KindUnavailable, provider.ReasonUnreachable, "resolved"},
		"nobody there":             {t.Context(), &url.Error{Op: "Get", URL: "https://vault.example", Err: refused}, provider.KindUnavailable, provider.ReasonUnreachable, "reached"},
		"what the peer said":       {t.Context(), errors.New(quoted), provider.KindUnavailable, provider.ReasonUnreachable, "broke"},
		"nothing is known":         {t.Context(), nil, provider.KindUnavailable, provider.ReasonUnreachable, "broke"},
	} {
		t.Run(name, func(t *testing.T) {
			got := rest.Broken(c.ctx, "the server", c.err)
			if got.Kind != c.kind || got.Reason != c.reason || !strings.Contains(got.Message, c.says) {
				t.Errorf("%s (%s): %s", got.Kind, got.Reason, got.Message)
			}
			if strings.Contains(got.Error(), quoted) {
				t.Errorf("it quotes the peer: %v", got)
			}
		})
	}
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestAClientReadsNoAnswerBeyondItsBound(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/encoded" {
			w.Header().Set("Content-Encoding", "gzip")
			return
		}
		_, _ = w.Write(make([]byte, provider.MaxAnswer+len(strings.TrimPrefix(r.URL.Path, "/"))))
	}))
	defer s.Close()
	client := rest.Client(&egress.Guard{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, &tls.Config{MinVersion: tls.VersionTLS12})
	defer client.CloseIdleConnections()
	for path, want := range map[string]provider.Reason{"/": "", "/x": provider.ReasonAnswerTooLarge, "/encoded": provider.ReasonAnswer} {
		if got := get(t, client, s.URL+path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// get returns the reason for which there is no whole answer.
func get(t *testing.T, client *http.Client, address string) provider.Reason {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err == nil {
		_, err = drain(answer)
	}
	if err == nil {
		return ""
	}
	return rest.Broken(t.Context(), "the server", err).Reason
}

func drain(answer *http.Response) (n int64, err error) {
	defer answer.Body.Close()
	return io.Copy(io.Discard, answer.Body)
}
