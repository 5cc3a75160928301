// SPDX-License-Identifier: Apache-2.0

package bearer

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/rest"
)

// Token is an access token. The zero Token is none.
type Token struct {
	Value string
	// Until is when it must be replaced, somewhat before its end.
	Until time.Time
}

// spare is how long before its end a token is replaced at most; short-lived ones are replaced when a fifth of their life is left.
const spare = 5 * time.Minute

// For returns a token that ends after life, counted from now. One without a life is used once.
func For(value string, life time.Duration) Token {
	return Token{Value: value, Until: time.Now().Add(life - min(life/5, spare))}
}

// Client sends requests with an access token. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	server string
	login  func(context.Context) (Token, error)

	turn  chan struct{} // held while the token is looked at or replaced
	token Token
}

// NewClient returns a client without a token. login gets one and returns an [*provider.Error] if it cannot; no two of its calls overlap. server is how messages call the server of the requests. The client of
// package http is made by [rest.Client], and remains the caller's.
func NewClient(client *http.Client, server string, login func(context.Context) (Token, error)) *Client {
	return &Client{http: client, server: server, login: login, turn: make(chan struct{}, 1)}
}

// Ask sends a request that has no body, with a token. If the server refuses a token that worked before (401), it gets a new one and sends the request once more; it tries nothing else again. The error is
// an [*provider.Error].
func (c *Client) Ask(r *http.Request) (*Answer, error) {
	token, fresh, err := c.get(r.Context(), "")
	if err != nil {
		return nil, err
	}
	answer, err := c.send(r, token)
	if err != nil || answer.Status != http.StatusUnauthorized || fresh {
		return answer, err
	}
	if token, _, err = c.get(r.Context(), token); err != nil {
		return nil, err
	}
	return c.send(r, token)
}

// Do is [Client.Ask] for libraries that want a response. Its body is in memory.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	answer, err := c.Ask(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(answer.Status), StatusCode: answer.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: answer.Header, ContentLength: int64(len(answer.Body)), Body: io.NopCloser(bytes.NewReader(answer.Body)),
	}, nil
}

// get returns a token that is not refused, and whether it is new.
func (c *Client) get(ctx context.Context, refused string) (value string, fresh bool, err error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return "", false, rest.Broken(ctx, c.server, ctx.Err())
	}
	if c.token.Value != "" && c.token.Value != refused && time.Now().Before(c.token.Until) {
		return c.token.Value, false, nil
	}
	c.token = Token{}
	token, err := c.login(ctx)
	if err != nil {
		return "", false, err
	}
	c.token = token
	return token.Value, true, nil
}

func (c *Client) send(r *http.Request, token string) (*Answer, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return Send(c.http, c.server, r)
}

// Answer is what a server said, whatever its status, read to its end within [provider.MaxAnswer].
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // may hold a value or a token
}

// Send sends a request as it is. The error is an [*provider.Error].
func Send(client *http.Client, server string, r *http.Request) (*Answer, error) {
	r.Header.Set("User-Agent", "lanyard-registry")
	resp, err := client.Do(r) //nolint:gosec // the address is of an organization's record; the egress guard judges where it leads
	if err != nil {
		return nil, rest.Broken(r.Context(), server, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || r.Context().Err() != nil { // a server that sees us hang up may still end its answer in good form, in the middle
		return nil, rest.Broken(r.Context(), server, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := provider.DecodeJSON(body, new(struct{})); err != nil {
			return nil, err
		}
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}
