// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/internal/version"
	"github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// endpoint is a registry and how to speak to it.
type endpoint struct {
	server     string
	caFile     string
	serverName string
	token      redact.Value
	timeout    time.Duration
}

// checkServer refuses an address a token must not be sent to.
func checkServer(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return misuse("", "the registry's URL is not https://<host>[:<port>]")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return misuse("use https; plain http is for a registry on this machine, such as `lanyard-registry dev`", "%s: a token is not sent without TLS", text)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e endpoint) http() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.serverName}
	if e.caFile != "" {
		text, err := os.ReadFile(e.caFile)
		if err != nil {
			return nil, misuse("", "reading the CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, misuse("", "the CA file %s holds no certificate", e.caFile)
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1}
	return &http.Client{
		Transport: &doer{transport, e.token},
		Timeout:   e.timeout,
		// A redirect could lead the token elsewhere, and the API has none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (e endpoint) client() (*api.Client, error) {
	if err := checkServer(e.server); err != nil {
		return nil, err
	}
	client, err := e.http()
	if err != nil {
		return nil, err
	}
	return api.NewClient(e.server, api.WithHTTPClient(client))
}

// doer authenticates requests and repeats those that may be repeated: where the registry says there were too many, because it did nothing with them, and each
// POST of which it is not known what became, because it has a key.
type doer struct {
	next  http.RoundTripper
	token redact.Value
}

const (
	maxTries = 4
	maxWait  = 10 * time.Second
	// keyHeader names the key with which the registry carries out a request once at most.
	keyHeader = "Idempotency-Key"
)

func (d *doer) RoundTrip(req *http.Request) (*http.Response, error) {
	key := req.Header.Get(keyHeader)
	if key == "" && req.Method == http.MethodPost {
		key = rand.Text()
	}
	for try := 1; ; try++ {
		sent := false
		attempt := req.Clone(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { sent = true }}))
		if key != "" {
			attempt.Header.Set(keyHeader, key)
		}
		if token := d.token.Reveal(); len(token) > 0 {
			attempt.Header.Set("Authorization", "Bearer "+string(token))
		}
		attempt.Header.Set("User-Agent", "lanyard/"+version.String())
		attempt.Header.Set("Accept", "application/json, application/x-ndjson, application/problem+json")
		if try > 1 && req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			attempt.Body = body
		}
		resp, err := d.next.RoundTrip(attempt)
		var pause time.Duration
		switch {
		case try == maxTries || req.Body != nil && req.GetBody == nil || req.Context().Err() != nil:
			return resp, err
		case err == nil && resp.StatusCode == http.StatusTooManyRequests:
			seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
			if err != nil || seconds < 0 {
				seconds = 1
			}
			pause = time.Duration(seconds) * time.Second
		case key != "" && (err != nil && sent || err == nil && unknownOutcome(resp.StatusCode)):
			pause = time.Duration(try*try) * retryPause
		default:
			return resp, err
		}
		if err == nil {
			resp.Body.Close()
		}
		wait := time.NewTimer(min(pause, maxWait))
		select {
		case <-req.Context().Done():
			wait.Stop()
			return nil, req.Context().Err()
		case <-wait.C:
		}
	}
}

// retryPause is the pause before a POST is repeated for the first time; the next ones are four and nine times as long.
const retryPause = 200 * time.Millisecond

// unknownOutcome reports whether a status leaves open what became of the request.
func unknownOutcome(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// object is what the registry answered, with its entity tag if it has one.
type object[T any] struct {
	body T
	etag string
}

// maxAnswer bounds what is read: a page of 200 consumers of 1 MiB of plain values each would be refused, at fewer items a page it is not.
const maxAnswer = 64 << 20

// answer turns what the generated client returns into an object, or into the error with which the registry refused. T is struct{} where nothing comes back.
func answer[T any](resp *http.Response, err error) (object[T], error) {
	var o object[T]
	if err != nil {
		return o, unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return o, unreachable(fmt.Errorf("reading the answer: %w", err))
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return o, nil
	case resp.StatusCode/100 == 2 && media == "application/json":
		o.etag = resp.Header.Get("ETag")
		if err := json.Unmarshal(raw, &o.body); err != nil {
			return o, failed(Failure, "", errors.New("decoding the answer: it is not what this release understands"))
		}
		return o, nil
	case media == "application/problem+json":
		var p api.Problem
		if err := json.Unmarshal(raw, &p); err == nil {
			return o, &failure{code: codeOfStatus(resp.StatusCode), err: errors.New(problemMessage(&p)), hint: problemHint(&p), problem: &p}
		}
	}
	code := codeOfStatus(resp.StatusCode)
	return o, failed(code, "check --server: the API's address and port, and what stands in front of it", fmt.Errorf("what answered is not a Lanyard registry (status %d)", resp.StatusCode))
}

// answerLines is answer for lines of JSON.
func answerLines(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, unreachable(err)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || media != "application/x-ndjson" {
		_, err := answer[struct{}](resp, nil)
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, unreachable(fmt.Errorf("reading the answer: %w", err))
	}
	return raw, nil
}

// unreachable explains why there was no answer.
func unreachable(err error) error {
	hint := "check --server and the network; `lanyard doctor` looks closer"
	var (
		inURL     *url.Error
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		plain     tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		hint = "give the registry's authority with --ca-file; the chart publishes it in a ConfigMap"
	case errors.As(err, &host):
		hint = "give a name of the certificate with --server-name"
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		hint = "it does not speak TLS; a registry on this machine may be reached with http://"
	}
	where := "reaching the registry"
	if errors.As(err, &inURL) {
		if u, parseErr := url.Parse(inURL.URL); parseErr == nil {
			where += " at " + u.Scheme + "://" + u.Host
		}
		err = inURL.Err
	}
	return failed(Unavailable, hint, fmt.Errorf("%s: %w", where, err))
}

// pages fetches a list until it ends or holds limit items; 0 means all.
func pages[T any](limit int, fetch func(size *int, token *string) (items []T, next *string, err error)) ([]T, error) {
	const largest = 200
	var all []T
	var token *string
	for {
		size := largest
		if limit > 0 {
			size = min(largest, limit-len(all))
		}
		items, next, err := fetch(&size, token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == nil || limit > 0 && len(all) >= limit {
			return all, nil
		}
		token = next
	}
}
