// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

var at = time.Unix(1_800_000_000, 0)

// shaped is as long as a real token: about 1.1 KiB.
func shaped(head, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(head)) + "." + encode([]byte(claims)) + "." + strings.Repeat("A", 342)
}

const realClaims = `{"aud":["lanyard"],"exp":1800003600,"iat":1800000000,"iss":"https://kubernetes.default.svc.cluster.local","jti":"0197a2d0-6a5e-7cc3-8e0e-2d3f1c9a4b5d",` +
	`"kubernetes.io":{"namespace":"billing","node":{"name":"node-1","uid":"7f0c0e2e-5f0a-4a57-9f6a-0a2b6a8f7f11"},"pod":{"name":"api-7f9c8d6b5-x2x4z",` +
	`"uid":"1b2a3c4d-5e6f-7081-92a3-b4c5d6e7f809"},"serviceaccount":{"name":"api","uid":"9a8b7c6d-5e4f-3021-8a9b-0c1d2e3f4a5b"}},"nbf":1800000000,` +
	`"sub":"system:serviceaccount:billing:api"}`

const realHeader = `{"alg":"RS256","kid":"Zk1pY2hhZWwtd2FzLWhlcmUtMTIzNDU2Nzg5MGFiY2Q"}`

func TestShape(t *testing.T) {
	change := func(old, new string) string { return shaped(realHeader, strings.Replace(realClaims, old, new, 1)) }
	for name, tc := range map[string]struct {
		token string
		want  Reason
	}{
		"a real token":                                 {shaped(realHeader, realClaims), ""},
		"an ECDSA key of any size":                     {shaped(`{"alg":"ES384"}`, realClaims), ""},
		"an audience that is a string":                 {change(`["lanyard"]`, `"lanyard"`), ""},
		"expired within the clocks' tolerance":         {change(`"exp":1800003600`, `"exp":1799999971`), ""},
		"expired beyond it":                            {change(`"exp":1800003600`, `"exp":1799999969`), TokenExpired},
		"valid soon, within the tolerance":             {change(`"nbf":1800000000`, `"nbf":1800000029`), ""},
		"valid later":                                  {change(`"nbf":1800000000`, `"nbf":1800000031`), TokenNotYetValid},
		"an expiry far in the future":                  {change(`"exp":1800003600`, `"exp":1e300`), ""},
		"an expiry no float can hold":                  {change(`"exp":1800003600`, `"exp":1e999`), TokenMalformed},
		"an audience that only resembles ours":         {change(`["lanyard"]`, `["Lanyard"]`), TokenAudience},
		"an audience within an array within an array":  {change(`["lanyard"]`, `[["lanyard"]]`), TokenMalformed},
		"a null audience":                              {change(`["lanyard"]`, `null`), TokenAudience},
		"an algorithm in another case":                 {shaped(`{"alg":"rs256"}`, realClaims), TokenAlgorithm},
		"no algorithm":                                 {shaped(`{}`, realClaims), TokenAlgorithm},
		"a subject of a node":                          {change("system:serviceaccount:billing:api", "system:node:node-1"), TokenSubject},
		"claims with something behind":                 {shaped(realHeader, realClaims+"{}"), TokenMalformed},
		"base64 with stray bits":                       {"eyJhbGciOiJSUzI1NiJ9" + "." + "e31" + ".AA", TokenMalformed},
		"a signature with a character of plain base64": {shaped(realHeader, realClaims) + "+", TokenMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := checkShape(tc.token, "lanyard", at); got != tc.want {
				t.Errorf("checkShape() = %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzShape(f *testing.F) {
	f.Add(shaped(realHeader, realClaims))
	f.Add(shaped(`{"alg":"none"}`, `{"aud":"lanyard"}`))
	f.Add("..")
	f.Add("a.b.c.d")
	f.Fuzz(func(t *testing.T, token string) {
		if checkShape(token, "lanyard", at) != "" {
			return
		}
		// What passes is what a header can carry, in exactly three parts.
		if strings.Count(token, ".") != 2 {
			t.Error("passed without three parts")
		}
		for _, c := range token {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("passed with the character %q", c)
			}
		}
		if got := checkShape(token, "another", at); got != TokenAudience {
			t.Errorf("the same token for another audience: %q", got)
		}
	})
}

func BenchmarkShape(b *testing.B) {
	token := shaped(realHeader, realClaims)
	b.SetBytes(int64(len(token)))
	b.ReportAllocs()
	for b.Loop() {
		if reason := checkShape(token, "lanyard", at); reason != "" {
			b.Fatal(reason)
		}
	}
}
