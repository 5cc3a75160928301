// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestResponseSurvivesTheWireByteForByte(t *testing.T) {
	values := []string{"", "plain", " $HOME \"x\"=\\", "a\r\nb\n", "-----BEGIN-----\n…\n", "\x00\xff\xfe", "it's", strings.Repeat("x", wire.MaxValueBytes)}
	in := &wire.ResolveResponse{RequestID: "r\"1", Mark: "m-1_", Unchanged: true, Containers: []wire.ContainerValues{{Name: "app"}, {Name: "ünïcode"}}}
	for i, v := range values {
		in.Containers[i%2].Envs = append(in.Containers[i%2].Envs, wire.Env{Name: fmt.Sprintf("E%d", i), Value: redact.New([]byte(v)), Secret: "s", Version: uint64(i), LastKnownGood: time.Unix(int64(i)*3600, 0).UTC()})
	}
	body := wire.AppendResponse(nil, in)
	if !json.Valid(body) {
		t.Fatal("AppendResponse wrote invalid JSON")
	}
	if bound := wire.ResponseSize(in); len(body) > bound {
		t.Errorf("wrote %d bytes, ResponseSize promised at most %d", len(body), bound)
	}
	out, err := wire.DecodeResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(body, make([]byte, len(body))) {
		t.Error("DecodeResponse did not wipe the body")
	}
	if out.RequestID != in.RequestID || out.Mark != in.Mark || !out.Unchanged || len(out.Containers) != 2 {
		t.Fatalf("got request id %q, mark %q, unchanged %v and %d containers", out.RequestID, out.Mark, out.Unchanged, len(out.Containers))
	}
	for i, c := range in.Containers {
		for j, e := range c.Envs {
			got := out.Containers[i].Envs[j]
			if got.Name != e.Name || got.Secret != e.Secret || got.Version != e.Version || !got.LastKnownGood.Equal(e.LastKnownGood) || !bytes.Equal(got.Value.Reveal(), e.Value.Reveal()) {
				t.Errorf("container %q: ENV %s came back changed", c.Name, e.Name)
			}
		}
	}
}

func TestDecodeErrorsDoNotQuoteTheBody(t *testing.T) {
	const canary = "cAnArY"
	for name, body := range map[string]string{
		"not JSON":         canary,
		"a value unquoted": `{"containers":[{"name":"app","envs":[{"name":"A","value":` + canary + `}]}]}`,
		"a wrong type":     `{"containers":"` + canary + `"}`,
		"bad base64":       `{"containers":[{"name":"app","envs":[{"name":"A","value":"` + canary + `*"}]}]}`,
		"no value":         `{"containers":[{"name":"app","envs":[{"name":"A","secret":"s"}]}]}`,
		"a null value":     `{"containers":[{"name":"app","envs":[{"name":"A","value":null}]}]}`,
		"truncated":        `{"containers":[{"name":"app","envs":[{"name":"A","value":"` + canary,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.DecodeResponse([]byte(body))
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("error = %v, want ErrMalformed", err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes the body: %v", err)
			}
		})
	}
}

func TestProblemRetryable(t *testing.T) {
	unresolved := func(codes ...wire.Code) *wire.Problem {
		p := &wire.Problem{Code: wire.CodeUnresolved}
		for _, c := range codes {
			p.Items = append(p.Items, wire.ItemProblem{Code: c})
		}
		return p
	}
	for name, tc := range map[string]struct {
		problem *wire.Problem
		want    bool
	}{
		"an outage passes":                                 {&wire.Problem{Code: wire.CodeStoreUnavailable}, true},
		"a missing binding stays":                          {&wire.Problem{Code: wire.CodeNotBound}, false},
		"a code of a newer registry is final":              {&wire.Problem{Code: "brand_new"}, false},
		"items that may all recover":                       {unresolved(wire.CodeProviderUnavailable, wire.CodeProviderThrottled), true},
		"one item that never will makes the request final": {unresolved(wire.CodeProviderUnavailable, wire.CodeSecretMissing), false},
		"no items": {unresolved(), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.problem.Retryable(); got != tc.want {
				t.Errorf("Retryable() = %v, want %v", got, tc.want)
			}
		})
	}
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add([]byte(`{"request_id":"r","containers":[{"name":"app","envs":[{"name":"A","value":"eA=="}]}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := wire.DecodeResponse(body)
		if err != nil {
			return
		}
		again, err := wire.DecodeResponse(wire.AppendResponse(nil, r))
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		if len(again.Containers) != len(r.Containers) {
			t.Fatal("containers were lost on the way")
		}
	})
}

func BenchmarkAppendResponse(b *testing.B) {
	r := &wire.ResolveResponse{RequestID: "0197a2", Containers: []wire.ContainerValues{{Name: "app"}}}
	for i := range 10 {
		r.Containers[0].Envs = append(r.Containers[0].Envs, wire.Env{Name: fmt.Sprintf("ENV_%d", i), Value: redact.New(make([]byte, 40)), Secret: "stripe-api-key", Version: 3})
	}
	buf := make([]byte, 0, wire.ResponseSize(r))
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendResponse(buf[:0], r)
	}
}
