// SPDX-License-Identifier: Apache-2.0

package names

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// maxLine bounds one event: a consumer of wire.MaxEnvs ENVs with long names and reasons takes some 100 KiB, which leaves room for tens of thousands of
// bindings.
const maxLine = 4 << 20

// opener opens a stream. It lives until its context is done or it is closed.
type opener func(context.Context) (*stream, error)

// stream is an open names stream.
type stream struct {
	lines *bufio.Scanner
	close func()
}

// Close gives the connection up.
func (s *stream) Close() { s.close() }

// Next blocks for the next event.
func (s *stream) Next() (wire.NamesEvent, error) {
	var event wire.NamesEvent
	if !s.lines.Scan() {
		if err := s.lines.Err(); err != nil {
			return event, fmt.Errorf("reading names stream: %w", err)
		}
		return event, errEnded
	}
	if err := json.Unmarshal(s.lines.Bytes(), &event); err != nil {
		return event, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return event, nil
}

// httpOpener opens streams with what the files of cfg hold at that moment, each over a connection of its own.
func httpOpener(cfg Config) opener {
	return func(ctx context.Context) (*stream, error) {
		token, err := os.ReadFile(cfg.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading token: %w", err)
		}
		token = bytes.TrimSpace(token)
		if len(token) == 0 {
			return nil, errors.New("token file is empty")
		}
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading CA: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("CA file holds no certificate")
		}
		transport := &http.Transport{ // no proxy: the token goes to the registry and nowhere else
			TLSClientConfig:    &tls.Config{RootCAs: roots, ServerName: cfg.ServerName, MinVersion: tls.VersionTLS13},
			ForceAttemptHTTP2:  true,
			DisableCompression: true,
		}
		client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(cfg.URL, "/")+wire.NamesPath, http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("building request: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+string(token))
		request.Header.Set("Accept", "application/x-ndjson")
		response, err := client.Do(request)
		if err != nil {
			transport.CloseIdleConnections()
			return nil, fmt.Errorf("connecting to the registry: %w", err)
		}
		closeAll := func() {
			_ = response.Body.Close()
			transport.CloseIdleConnections()
		}
		if response.StatusCode != http.StatusOK {
			defer closeAll()
			return nil, refused(response)
		}
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		return &stream{lines: lines, close: closeAll}, nil
	}
}

// refused tells what the registry answered instead of a stream.
func refused(response *http.Response) error {
	var problem wire.Problem
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if json.Unmarshal(body, &problem) == nil && problem.Code != "" {
		return fmt.Errorf("the registry answered %d %s: %.200s (request %.64s)", response.StatusCode, problem.Code, problem.Message, problem.RequestID)
	}
	return fmt.Errorf("the registry answered %d", response.StatusCode)
}
