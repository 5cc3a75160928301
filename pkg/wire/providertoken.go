// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// ProviderToken is a token of the pod's service account that is good for one audience: that of a provider which is read with the pod's own identity. encoding/json reads
// the token and does not write it: [AppendRequest] does.
type ProviderToken struct {
	Audience string       `json:"audience"`
	Token    redact.Value `json:"-"` // empty in a pod's spec, which names the audience only
}

// tokenJSON is a ProviderToken as it travels.
type tokenJSON struct {
	Audience string `json:"audience"`
	Token    string `json:"token"`
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *ProviderToken) UnmarshalJSON(text []byte) error {
	var in tokenJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return err // names types and fields, no content
	}
	*t = ProviderToken{Audience: in.Audience}
	if in.Token != "" {
		t.Token = redact.New([]byte(in.Token))
	}
	return nil
}

// AppendRequest appends r as JSON to dst, with its tokens: the one place where they turn into bytes of a request.
func AppendRequest(dst []byte, r *ResolveRequest) ([]byte, error) {
	out := struct {
		*ResolveRequest

		ProviderTokens []tokenJSON `json:"provider_tokens,omitempty"` // hides that of the request
	}{ResolveRequest: r}
	for _, t := range r.ProviderTokens {
		out.ProviderTokens = append(out.ProviderTokens, tokenJSON{t.Audience, string(t.Token.Reveal())})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return dst, fmt.Errorf("encoding request: %w", err)
	}
	return append(dst, text...), nil
}
