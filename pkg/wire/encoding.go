// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// Env is one resolved ENV.
type Env struct {
	Name    string
	Value   redact.Value // any bytes
	Secret  string       // the secret's name; empty for a plain ENV
	Version uint64       // of a local secret; 0 otherwise
	// LastKnownGood is when the provider gave the value, if it did not answer now and the value is not fresh; zero otherwise.
	LastKnownGood time.Time
}

// ErrMalformed is wrapped by errors of [DecodeResponse]. Its text never quotes the body, which may hold values.
var ErrMalformed = errors.New("malformed resolve response")

// The JSON of the answer. Values are base64, so that any bytes survive.
type responseJSON struct {
	RequestID  string          `json:"request_id,omitempty"`
	Mark       string          `json:"mark,omitempty"`
	Unchanged  bool            `json:"unchanged,omitempty"`
	Containers []containerJSON `json:"containers"`
}

type containerJSON struct {
	Name string    `json:"name"`
	Envs []envJSON `json:"envs"`
}

type envJSON struct {
	Name    string  `json:"name"`
	Value   *[]byte `json:"value"`
	Secret  string  `json:"secret,omitempty"`
	Version uint64  `json:"version,omitempty"`
	// LastKnownGood is RFC 3339.
	LastKnownGood time.Time `json:"last_known_good,omitzero"`
}

// AppendResponse appends r as JSON to dst: the one place where values turn into bytes of an answer. The caller wipes the slice when it has been sent.
func AppendResponse(dst []byte, r *ResolveResponse) []byte {
	dst = append(dst, `{"request_id":`...)
	dst = appendString(dst, r.RequestID)
	if r.Mark != "" {
		dst = append(dst, `,"mark":`...)
		dst = appendString(dst, r.Mark)
	}
	if r.Unchanged {
		dst = append(dst, `,"unchanged":true`...)
	}
	dst = append(dst, `,"containers":[`...)
	for i, c := range r.Containers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = appendString(dst, c.Name)
		dst = append(dst, `,"envs":[`...)
		for j, e := range c.Envs {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendEnv(dst, e)
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, "]}"...)
}

// ResponseSize is an upper bound of what [AppendResponse] appends, so that values are not left behind in outgrown slices.
func ResponseSize(r *ResolveResponse) int {
	const perObject, escaped = 144, 6
	n := perObject + escaped*(len(r.RequestID)+len(r.Mark))
	for _, c := range r.Containers {
		n += perObject + escaped*len(c.Name)
		for _, e := range c.Envs {
			n += perObject + escaped*(len(e.Name)+len(e.Secret)) + base64.StdEncoding.EncodedLen(len(e.Value.Reveal()))
		}
	}
	return n
}

func appendEnv(dst []byte, e Env) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, e.Name)
	dst = append(dst, `,"value":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Value.Reveal())
	dst = append(dst, '"')
	if e.Secret != "" {
		dst = append(dst, `,"secret":`...)
		dst = appendString(dst, e.Secret)
	}
	if e.Version != 0 {
		dst = fmt.Appendf(dst, `,"version":%d`, e.Version)
	}
	if !e.LastKnownGood.IsZero() {
		dst = append(dst, `,"last_known_good":"`...)
		dst = e.LastKnownGood.UTC().AppendFormat(dst, time.RFC3339)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendString quotes a name. Names are ASCII by grammar; what is not goes the long way through encoding/json.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always marshals
				panic(err)
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// DecodeResponse parses what [AppendResponse] wrote. It wipes body, whatever the outcome. The error wraps [ErrMalformed].
func DecodeResponse(body []byte) (*ResolveResponse, error) {
	defer clear(body)
	var in responseJSON
	if err := json.Unmarshal(body, &in); err != nil {
		// The error of encoding/json may quote a part of the body: only its position is told.
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%w: syntax error at byte %d", ErrMalformed, syntax.Offset)
		}
		return nil, fmt.Errorf("%w: unexpected type", ErrMalformed)
	}
	out := &ResolveResponse{RequestID: in.RequestID, Mark: in.Mark, Unchanged: in.Unchanged, Containers: make([]ContainerValues, len(in.Containers))}
	for i, c := range in.Containers {
		out.Containers[i] = ContainerValues{Name: c.Name, Envs: make([]Env, len(c.Envs))}
		for j, e := range c.Envs {
			if e.Value == nil {
				return nil, fmt.Errorf("%w: container %q, ENV %q has no value", ErrMalformed, c.Name, e.Name)
			}
			out.Containers[i].Envs[j] = Env{Name: e.Name, Value: redact.New(*e.Value), Secret: e.Secret, Version: e.Version, LastKnownGood: e.LastKnownGood}
		}
	}
	return out, nil
}
