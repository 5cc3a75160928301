// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer bounds what is read of an answer: a page of 200 consumers with 1 MiB of plain values each stays below.
const maxAnswer = 256 << 20

// New returns a client of the registry at server, such as "https://lanyard.example:8443", that sends token with every request. Requests time out after 30
// seconds and follow no redirects; [WithHTTPClient] sets other rules, and TLS roots.
func New(server, token string, options ...ClientOption) (*ClientWithResponses, error) {
	if u, err := url.Parse(server); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("address of the registry must be an http or https URL")
	}
	standard := &http.Client{
		Timeout: 30 * time.Second,
		// A redirect could carry the token and a value elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	options = append([]ClientOption{WithHTTPClient(standard)}, options...)
	options = append(options, WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		r.Header.Set("Accept", "application/json, application/problem+json")
		return nil
	}), func(c *Client) error {
		c.Client = bounded{c.Client}
		return nil
	})
	return NewClientWithResponses(server, options...)
}

// Check returns err if there is one, nil if the answer is a success, and else a [*Problem]. An answer that is no problem document, from a proxy on the way for
// instance, becomes a problem with its status and no code. It takes the two results of a client's method:
//
//	resp, err := c.GetMeWithResponse(ctx)
//	if err := api.Check(resp, err); err != nil { … }
func Check(answer interface {
	StatusCode() int
	GetBody() []byte
}, err error) error {
	if err != nil {
		return err
	}
	status := answer.StatusCode()
	if status/100 == 2 || status == http.StatusNotModified {
		return nil
	}
	p := new(Problem)
	if json.Unmarshal(answer.GetBody(), p) != nil || p.Code() == "" {
		p = &Problem{Title: fmt.Sprintf("unexpected answer: %d %s", status, http.StatusText(status)), RequestID: "unknown"}
	}
	p.Status = status
	return p
}

// bounded limits the bodies of answers.
type bounded struct{ next HttpRequestDoer }

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	resp, err := b.next.Do(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
