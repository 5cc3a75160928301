// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// skew is how far the registry's clock may be from the API server's, which alone judges a token's times.
const skew = 30 * time.Second

const subjectPrefix = "system:serviceaccount:"

// algorithms are those Kubernetes signs service account tokens with: RS256 for RSA keys, and the curve's own for ECDSA keys.
var algorithms = map[string]bool{"RS256": true, "ES256": true, "ES384": true, "ES512": true}

type header struct {
	Algorithm string `json:"alg"`
}

type claims struct {
	Subject   string    `json:"sub"`
	Audiences audiences `json:"aud"`
	Expires   *float64  `json:"exp"`
	NotBefore float64   `json:"nbf"`
}

// audiences is the claim "aud": one string, or an array of them.
type audiences []string

var errAudience = errors.New("aud is neither a string nor an array of strings")

func (a *audiences) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audiences{one}
		return nil
	}
	if json.Unmarshal(text, (*[]string)(a)) != nil {
		return errAudience
	}
	return nil
}

// checkShape reports what is wrong with a token that can be seen without any key, or "". It verifies nothing: a forged token passes.
//
// A token for several audiences is refused although the API server would accept it for ours: whoever it was meant for as well could replay it here.
func checkShape(token, audience string, now time.Time) Reason {
	if len(token) > wire.MaxTokenBytes {
		return TokenTooLong
	}
	head, rest, _ := strings.Cut(token, ".")
	body, signature, ok := strings.Cut(rest, ".")
	if !ok || !isBase64URL(head) || !isBase64URL(body) || !isBase64URL(signature) {
		return TokenMalformed
	}
	var h header
	if !decodePart(head, &h) {
		return TokenMalformed
	}
	if !algorithms[h.Algorithm] {
		return TokenAlgorithm
	}
	var c claims
	if !decodePart(body, &c) || c.Expires == nil {
		return TokenMalformed
	}
	seconds := float64(now.UnixNano()) / float64(time.Second)
	switch {
	case len(c.Audiences) != 1 || c.Audiences[0] != audience:
		return TokenAudience
	case *c.Expires+skew.Seconds() < seconds:
		return TokenExpired
	case c.NotBefore-skew.Seconds() > seconds:
		return TokenNotYetValid
	case !strings.HasPrefix(c.Subject, subjectPrefix):
		return TokenSubject
	}
	return ""
}

// decodePart decodes one base64url part of a token as a JSON object.
func decodePart(part string, into any) bool {
	var stack [1024]byte // tokens of Kubernetes carry about 800 bytes of claims
	text, err := base64.RawURLEncoding.Strict().AppendDecode(stack[:0], []byte(part))
	return err == nil && len(text) > 0 && text[0] == '{' && json.Unmarshal(text, into) == nil
}

// isBase64URL refuses what a decoder would let pass: line breaks, and in the signature, which is never decoded here, anything; a fourth part too.
func isBase64URL(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return text != ""
}
