// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const canary = "cAnArY-7d20"

var asked = &wire.ResolveRequest{Protocol: wire.Protocol, Containers: []wire.ContainerRequest{
	{Name: "app", Consumer: "acme/web", Delivery: wire.DeliveryEnvfile, Envs: []string{"A", "B"}},
}}

// script is a transport that gives its answers in turn, the last one for ever, and keeps the times and tokens it was asked with.
type script struct {
	answers []func(*http.Request) (*http.Response, error)
	at      []time.Time
	tokens  []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.at = append(s.at, time.Now())
	s.tokens = append(s.tokens, req.Header.Get("Authorization"))
	return s.answers[min(len(s.at), len(s.answers))-1](req)
}

func answer(status int, contentType, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {contentType}}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	}
}

func problem(status int, p wire.Problem, header ...string) func(*http.Request) (*http.Response, error) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return answer(status, "application/problem+json; charset=utf-8", string(body), header...)
}

func values(envs ...wire.Env) func(*http.Request) (*http.Response, error) {
	return answer(200, "application/json", string(wire.AppendResponse(nil, &wire.ResolveResponse{
		RequestID: "r1", Containers: []wire.ContainerValues{{Name: "app", Envs: envs}},
	})))
}

func env(name string) wire.Env { return wire.Env{Name: name, Value: redact.New([]byte(canary))} }

func broken(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hang answers when the request's context ends.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func newClient(t *testing.T, s *script, log io.Writer) *Client {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Client{URL: "https://registry.example", Transport: s, TokenFile: token, Logger: slog.New(slog.NewJSONHandler(log, nil))}
}

type answers = []func(*http.Request) (*http.Response, error)

func TestWhichAnswersAreTriedAgain(t *testing.T) {
	ok := values(env("A"), env("B"))
	unavailable := wire.Problem{Code: wire.CodeStoreUnavailable}
	items := func(codes ...wire.Code) wire.Problem {
		p := wire.Problem{Code: wire.CodeUnresolved}
		for _, c := range codes {
			p.Items = append(p.Items, wire.ItemProblem{Env: "A", Code: c})
		}
		return p
	}
	reset := broken(fmt.Errorf("read: %w", syscall.ECONNRESET))
	cut := func(*http.Request) (*http.Response, error) {
		resp, err := ok(nil)
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 30), failingReader{io.ErrUnexpectedEOF}))
		return resp, err
	}
	for name, tc := range map[string]struct {
		answers answers
		tries   int
		err     string // "" when the values arrive
	}{
		"at once":                                         {answers{ok}, 1, ""},
		"in another order":                                {answers{values(env("B"), env("A"))}, 1, ""},
		"nobody listens, then somebody does":              {answers{reset, reset, ok}, 3, ""},
		"an answer cut off on its way":                    {answers{cut, ok}, 2, ""},
		"a slow try is given up, the next one is quick":   {answers{hang, ok}, 2, ""},
		"a store that returns":                            {answers{problem(503, unavailable), ok}, 2, ""},
		"a 503 of a proxy":                                {answers{answer(503, "text/html", canary), ok}, 2, ""},
		"a 502 with a body that only looks like JSON":     {answers{answer(502, "application/json", `{"code":`), ok}, 2, ""},
		"too many requests, whoever says it":              {answers{answer(429, "text/plain", ""), problem(429, wire.Problem{Code: "brand_new"}), ok}, 3, ""},
		"a pod its API server does not know yet":          {answers{problem(409, wire.Problem{Code: wire.CodePodNotEligible}), ok}, 2, ""},
		"items that may all recover":                      {answers{problem(424, items(wire.CodeProviderUnavailable, wire.CodeProviderThrottled)), ok}, 2, ""},
		"one 401":                                         {answers{problem(401, wire.Problem{Code: wire.CodeUnauthenticated}), ok}, 2, ""},
		"two 401":                                         {answers{problem(401, wire.Problem{Code: wire.CodeUnauthenticated})}, 2, "unauthenticated"},
		"two 401 with an outage between":                  {answers{answer(401, "", ""), reset, answer(401, "", ""), ok}, 3, "status 401"},
		"one item that never will":                        {answers{problem(424, items(wire.CodeProviderUnavailable, wire.CodeSecretMissing))}, 1, "unresolved"},
		"no binding":                                      {answers{problem(403, wire.Problem{Code: wire.CodeNotBound, Message: "no"})}, 1, "not_bound: no"},
		"a problem of a newer registry":                   {answers{problem(503, wire.Problem{Code: "brand_new"})}, 1, "brand_new"},
		"a 403 of a proxy":                                {answers{answer(403, "text/html", canary)}, 1, "status 403"},
		"a 404":                                           {answers{answer(404, "text/plain", canary)}, 1, "status 404"},
		"a redirect":                                      {answers{answer(307, "", "", "Location", "https://elsewhere.example/"+canary)}, 1, "status 307"},
		"a success that is none of ours":                  {answers{answer(204, "", "")}, 1, "status 204"},
		"a page":                                          {answers{answer(200, "text/html", canary)}, 1, "content type"},
		"no content type":                                 {answers{answer(200, "", canary)}, 1, "content type"},
		"an answer that is not JSON":                      {answers{answer(200, "application/json", canary)}, 1, "malformed"},
		"an answer without an ENV":                        {answers{values(env("A"))}, 1, "ENV B is missing"},
		"an answer with an ENV twice instead":             {answers{values(env("A"), env("A"))}, 1, "ENV B is missing"},
		"an answer with an ENV twice besides":             {answers{values(env("A"), env("B"), env("A"))}, 1, "twice, or one that was not asked for"},
		"an answer with a stranger":                       {answers{values(env("A"), env("B"), env(canary))}, 1, "twice, or one that was not asked for"},
		"an answer without containers":                    {answers{answer(200, "application/json", `{"containers":[]}`)}, 1, `container "app" is missing`},
		"an answer longer than allowed, with its length":  {answers{long(wire.MaxResponseBytes+1, true)}, 1, "longer than"},
		"an answer longer than allowed, without a length": {answers{long(wire.MaxResponseBytes+1, false)}, 1, "longer than"},
		"unchanged, to a request for values":              {answers{answer(200, "application/json", `{"unchanged":true,"mark":"m"}`)}, 1, "nothing changed, to a request for values"},
		"a mark longer than allowed":                      {answers{answer(200, "application/json", `{"mark":"`+strings.Repeat("m", 65)+`"}`)}, 1, "its mark is longer"},
		"a problem longer than allowed":                   {answers{problem(403, wire.Problem{Code: wire.CodeNotBound, Message: strings.Repeat("x", MaxProblemBytes)})}, 1, "status 403"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := &script{answers: tc.answers}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				got, err := newClient(t, s, &log).Resolve(ctx, asked)
				if len(s.at) != tc.tries {
					t.Errorf("it was tried %d times, want %d", len(s.at), tc.tries)
				}
				if tc.err == "" && (err != nil || len(got.Containers[0].Envs) != 2) {
					t.Errorf("Resolve: %v", err)
				}
				if tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
					t.Errorf("error = %v, want %q", err, tc.err)
				}
				if lines := strings.Count(log.String(), "\n"); lines != tc.tries {
					t.Errorf("%d tries were logged in %d lines", tc.tries, lines)
				}
				if all := log.String() + fmt.Sprint(err); strings.Contains(all, canary) || strings.Contains(all, "t1") {
					t.Errorf("a value or token was told: %s", all)
				}
			})
		})
	}
}

func TestUnchangedAnswersARequestWithAMark(t *testing.T) {
	with := *asked
	with.Mark = "m1"
	for name, tc := range map[string]struct {
		body, err string
	}{
		"unchanged":             {`{"unchanged":true,"mark":"m1","containers":[]}`, ""},
		"unchanged, and values": {`{"unchanged":true,"containers":[{"name":"app","envs":[]}]}`, "holds values"},
		"neither":               {`{"mark":"m2","containers":[]}`, `container "app" is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			got, err := newClient(t, &script{answers: answers{answer(200, "application/json", tc.body)}}, &log).Resolve(t.Context(), &with)
			if tc.err == "" && (err != nil || !got.Unchanged || got.Mark != "m1" || log.Len() != 0) {
				t.Errorf("got %+v, %v, and the log %s", got, err, log.String())
			}
			if tc.err != "" && (!errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error = %v, want %q", err, tc.err)
			}
		})
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func long(n int64, announced bool) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		length := int64(-1)
		if announced {
			length = n
		}
		return &http.Response{
			StatusCode: 200, ContentLength: length,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(io.LimitReader(zeros{}, n)),
		}, nil
	}
}

func TestTokenIsReadAnewAtEveryTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		c := newClient(t, s, io.Discard)
		rotate := func(*http.Request) (*http.Response, error) {
			if err := os.WriteFile(c.TokenFile, []byte("t2"), 0o600); err != nil {
				t.Error(err)
			}
			return problem(401, wire.Problem{Code: wire.CodeUnauthenticated})(nil)
		}
		s.answers = answers{rotate, values(env("A"), env("B"))}
		if _, err := c.Resolve(t.Context(), asked); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.tokens, ","); got != "Bearer t1,Bearer t2" {
			t.Errorf("sent %s", got)
		}
	})
}

func TestUnusableTokenFilesAreFinal(t *testing.T) {
	for name, content := range map[string]string{
		"empty":      " \n",
		"two tokens": "a\nb",
		"too long":   strings.Repeat("x", wire.MaxTokenBytes+1),
		"not ASCII":  "tökén",
		"absent":     "",
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{}
			c := newClient(t, s, io.Discard)
			if err := os.WriteFile(c.TokenFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if content == "" {
				c.TokenFile += "-absent"
			}
			_, err := c.Resolve(t.Context(), asked)
			if !errors.Is(err, ErrToken) || len(s.at) != 0 {
				t.Errorf("error = %v after %d requests, want ErrToken and none", err, len(s.at))
			}
			if trimmed := strings.TrimSpace(content); trimmed != "" && strings.Contains(err.Error(), trimmed) {
				t.Error("the error quotes the file")
			}
		})
	}
}
