// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// MaxProblemBytes bounds what is read of an answer that is not 200: 256 items of 200 bytes.
const MaxProblemBytes = 64 << 10

// try sends the request once and reads the whole answer.
func (c *Client) try(ctx context.Context, asked *wire.ResolveRequest) (*wire.ResolveResponse, error) {
	token, err := readToken(c.TokenFile)
	if err != nil {
		return nil, err
	}
	body, err := c.body(asked)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, TryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+wire.ResolvePath, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + token},
		"Content-Type":  {"application/json"},
		"Accept":        {"application/json, application/problem+json"},
		"User-Agent":    {"lanyard-agent"},
	}
	// The transport instead of an http.Client: a redirect is an answer like any other that is not 200.
	resp, err := c.Transport.RoundTrip(req)
	if err != nil {
		return nil, &connError{describe(err, time.Now()), err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, readRefusal(resp)
	}
	return readAnswer(ctx, resp, asked)
}

// body returns the request with the tokens for providers as the kubelet has them now.
func (c *Client) body(asked *wire.ResolveRequest) ([]byte, error) {
	filled := *asked
	filled.ProviderTokens = nil
	for _, t := range asked.ProviderTokens {
		token, err := readToken(filepath.Join(filepath.Dir(c.TokenFile), podspec.ProviderTokenPath(t.Audience)))
		if err != nil {
			return nil, err
		}
		filled.ProviderTokens = append(filled.ProviderTokens, wire.ProviderToken{Audience: t.Audience, Token: redact.New([]byte(token))})
	}
	return wire.AppendRequest(nil, &filled)
}

// readToken reads the token the kubelet keeps fresh. The error wraps [ErrToken] and never quotes the file's content.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, wire.MaxTokenBytes+1))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	token := string(bytes.TrimSpace(content))
	switch {
	case token == "":
		return "", fmt.Errorf("%w: %q is empty", ErrToken, path)
	case len(content) > wire.MaxTokenBytes:
		return "", fmt.Errorf("%w: %q is longer than %d bytes", ErrToken, path, wire.MaxTokenBytes)
	case strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0:
		return "", fmt.Errorf("%w: %q holds something other than one token", ErrToken, path)
	}
	return token, nil
}

// readRefusal reads an answer that is not 200. A body that is too long, cut off or not a problem leaves only the status.
func readRefusal(resp *http.Response) *Refusal {
	refusal := &Refusal{Status: resp.StatusCode, RetryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())}
	if !isJSON(resp, "application/problem+json") && !isJSON(resp, "application/json") {
		return refusal
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxProblemBytes+1))
	if err != nil || len(body) > MaxProblemBytes {
		return refusal
	}
	var problem wire.Problem
	if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		return refusal
	}
	problem.Code, problem.Message, problem.RequestID = wire.Code(clean(string(problem.Code))), clean(problem.Message), clean(problem.RequestID)
	problem.Items = problem.Items[:min(len(problem.Items), wire.MaxEnvs)]
	for i, item := range problem.Items {
		problem.Items[i] = wire.ItemProblem{
			Container: clean(item.Container), Env: clean(item.Env), Secret: clean(item.Secret), Provider: clean(item.Provider),
			Code: wire.Code(clean(string(item.Code))), Message: clean(item.Message),
		}
	}
	refusal.Problem = &problem
	return refusal
}

// readAnswer reads a 200, which is complete or an error.
func readAnswer(ctx context.Context, resp *http.Response, asked *wire.ResolveRequest) (*wire.ResolveResponse, error) {
	if !isJSON(resp, "application/json") {
		return nil, fmt.Errorf("%w: its content type is not application/json", ErrProtocol)
	}
	body, err := readBody(resp.Body, resp.ContentLength)
	if err != nil {
		return nil, err
	}
	answer, err := wire.DecodeResponse(body)
	if err != nil {
		// A server that sees us leave may end its answer in good order: what is then half an answer was cut by our own deadline, not by its maker.
		if cut := ctx.Err(); cut != nil {
			return nil, &connError{describe(cut, time.Now()), cut}
		}
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	answer.RequestID = clean(answer.RequestID)
	if err := checkComplete(asked, answer); err != nil {
		Wipe(answer)
		return nil, err
	}
	return answer, nil
}

// readBody reads a body of at most wire.MaxResponseBytes and leaves no copy of it behind in outgrown slices. The buffers of net/http and crypto/tls, which
// hold a few KiB of it, are out of reach; they live as long as the process, which ends soon.
func readBody(r io.Reader, length int64) ([]byte, error) {
	const (
		limit = wire.MaxResponseBytes
		first = 16 << 10
	)
	if length > limit {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrProtocol, limit)
	}
	size := int64(first)
	if length >= 0 {
		size = length + 1 // a byte more, so that the end is seen without growing
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			clear(body)
			return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrProtocol, limit)
		case err == io.EOF:
			return body, nil
		case err != nil:
			clear(body)
			return nil, &connError{describe(err, time.Now()), err}
		case len(body) == cap(body):
			grown := make([]byte, len(body), 2*cap(body))
			copy(grown, body)
			clear(body)
			body = grown
		}
	}
}

func isJSON(resp *http.Response, want string) bool {
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && mediaType == want
}
