// SPDX-License-Identifier: Apache-2.0

package idtoken_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
)

// Whatever is read keeps the package's promises, also in the eyes of another reader of JSON; and whatever is not is refused for one of the reasons, in words that were there before.
func FuzzRead(f *testing.F) {
	f.Add(header, claims, ".c2lnbmF0dXJl")
	f.Add(header, strings.Replace(claims, `"aud":`, `"aud":"https://other.example","aud":`, 1), ".AA")
	f.Add(`{"alg":"none"}`, claims, ".")
	f.Add(`{"alg":"RS256","crit":["b64"]}`, `{"exp":1e999}`, "")
	f.Add(header, claims+" {}", ".AA.AA")
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		encode := base64.RawURLEncoding.EncodeToString
		raw := encode([]byte(header)) + "." + encode([]byte(payload)) + tail
		token, err := idtoken.Read(raw, forge, audience, now)
		if err != nil {
			if _, ok := errors.AsType[*idtoken.Error](err); !ok || !said[err.Error()] {
				t.Errorf("refused with %q", err)
			}
			return
		}
		if len(raw) > idtoken.MaxSize || token.Issuer != forge || token.Subject == "" || len(token.Subject) > idtoken.MaxSubject {
			t.Errorf("accepted: %+v", token)
		}
		if !token.ExpiresAt.After(now) || token.ExpiresAt.Sub(now) > idtoken.MaxLife+idtoken.Skew+time.Second {
			t.Errorf("it ends at %s", token.ExpiresAt)
		}
		var read struct {
			Issuer   string `json:"iss"`
			Subject  string `json:"sub"`
			Audience any    `json:"aud"`
		}
		var names map[string]json.RawMessage
		if err := json.Unmarshal([]byte(payload), &names); err != nil || len(names) != len(token.Claims) {
			t.Errorf("others read %d claims, this reader %d: %v", len(names), len(token.Claims), err)
		}
		for name := range names { // encoding/json finds fields in other letters, too
			if strings.ContainsFunc(name, func(r rune) bool { return r >= 'A' && r <= 'Z' || r > '~' }) {
				return
			}
		}
		if err := json.Unmarshal([]byte(payload), &read); err != nil || read.Issuer != forge || read.Subject != token.Subject {
			t.Errorf("others read %+v: %v", read, err)
		}
		if list, ok := read.Audience.([]any); ok && len(list) == 1 {
			read.Audience = list[0]
		}
		if read.Audience != audience {
			t.Errorf("others read the audience %v", read.Audience)
		}
	})
}

// said are all errors of Read.
var said = func() map[string]bool {
	texts := map[string]bool{
		"ID token not accepted: malformed: it is a token of another kind": true,
		"ID token not accepted: malformed: it has critical extensions":    true,
		"ID token not accepted: malformed: exp, iat or nbf is no time":    true,
	}
	for _, reason := range []idtoken.Reason{
		idtoken.Malformed, idtoken.Algorithm, idtoken.OtherIssuer, idtoken.OtherAudience, idtoken.Expired, idtoken.NotYet, idtoken.TooLong, idtoken.Subject,
	} {
		texts["ID token not accepted: "+string(reason)] = true
	}
	return texts
}()
