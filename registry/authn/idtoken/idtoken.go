// SPDX-License-Identifier: Apache-2.0

// Package idtoken reads the ID tokens that issuers give to jobs, and says why one is not to be believed. It does no I/O; whether the signature is the issuer's is found out by
// package issuer.
//
// It promises that a [Token] has one issuer and exactly one audience, those that were asked for; that it is good now, and for [MaxLife] at most; that no claim stands there
// twice; and that its algorithm is one with a public key. Errors hold nothing that stands in a token.
package idtoken

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Limits of what is accepted.
const (
	// MaxSize is above those of the large forges, which have two to three KiB.
	MaxSize = 16 << 10
	// MaxSubject bounds the sub claim, which becomes part of a principal.
	MaxSubject = 512
	// MaxLife is the time between iat and exp: a job of GitLab may have a token for as long as it may run.
	MaxLife = 24 * time.Hour
	// Skew is how far the issuer's clock may be ahead. There is none for exp.
	Skew = time.Minute
)

// Algorithms are those that verify with a public key.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Reason says why a token is not accepted: for logs and the audit log, not for who sent it.
type Reason string

// The reasons.
const (
	Malformed     Reason = "malformed"      // no JWT of one signature, too long, or a claim is not of its type or there twice
	Algorithm     Reason = "algorithm"      // without a public key, or unknown
	OtherIssuer   Reason = "other-issuer"   // iss is not the federation's
	OtherAudience Reason = "other-audience" // aud is not the federation's alone
	Expired       Reason = "expired"
	NotYet        Reason = "not-yet"    // iat or nbf is in the future
	TooLong       Reason = "too-long"   // it lives for more than a day
	Subject       Reason = "no-subject" // sub is empty, too long, or has characters that are not printable ASCII
	Signature     Reason = "signature"  // of no key the issuer publishes
	NotAllowed    Reason = "issuer-not-allowed"
	Unreachable   Reason = "issuer-unreachable" // its keys could not be had; nobody knows what the token is
)

// Error is why a token is not accepted.
type Error struct {
	Reason Reason
	Err    error // what is known besides, nothing of the token; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("ID token not accepted: %s: %v", e.Reason, e.Err)
	}
	return "ID token not accepted: " + string(e.Reason)
}
func (e *Error) Unwrap() error { return e.Err }

// Refuse returns an *[Error].
func Refuse(reason Reason, err error) error { return &Error{reason, err} }

// ReasonOf is the reason of an error of this package or package issuer.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Unreachable
}

// Token is what stands in an ID token.
type Token struct {
	Issuer, Subject string
	ExpiresAt       time.Time
	// Claims are as JSON has them, numbers as json.Number.
	Claims map[string]any
	// Sum identifies the token, whatever its signature: of some algorithms, who has one signature can make another.
	Sum [sha256.Size]byte
}

// Read returns what stands in a token of an issuer for an audience, at a time. It does not look at the signature: until that is verified, anybody may have written the token. Errors are
// *[Error]s.
func Read(raw, issuer, audience string, now time.Time) (Token, error) {
	header, payload, sum, err := split(raw)
	if err != nil {
		return Token{}, err
	}
	if err := checkHeader(header); err != nil {
		return Token{}, err
	}
	claims, err := object(payload)
	if err != nil {
		return Token{}, Refuse(Malformed, nil)
	}
	t := Token{Issuer: issuer, Claims: claims, Sum: sum}
	if iss, ok := claims["iss"].(string); !ok || iss != issuer {
		return Token{}, Refuse(OtherIssuer, nil)
	}
	if !isFor(claims["aud"], audience) {
		return Token{}, Refuse(OtherAudience, nil)
	}
	if t.ExpiresAt, err = life(claims, now); err != nil {
		return Token{}, err
	}
	t.Subject, _ = claims["sub"].(string)
	if t.Subject == "" || len(t.Subject) > MaxSubject || strings.ContainsFunc(t.Subject, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Token{}, Refuse(Subject, nil)
	}
	return t, nil
}

// split takes the compact form with one signature, and no other. Of what is signed there must be one spelling: who could write a used token in another way could use it again. So line ends are
// refused there, which decoders of base64, and verifiers of signatures, leave out; behind the signature they are those of a file.
func split(raw string) (header, payload []byte, sum [sha256.Size]byte, err error) {
	malformed := Refuse(Malformed, nil)
	parts := strings.Split(raw, ".")
	if len(raw) > MaxSize || len(parts) != 3 || strings.ContainsAny(parts[0]+parts[1], "\r\n") {
		return nil, nil, sum, malformed
	}
	encoding := base64.RawURLEncoding.Strict()
	if header, err = encoding.DecodeString(parts[0]); err != nil {
		return nil, nil, sum, malformed
	}
	if payload, err = encoding.DecodeString(parts[1]); err != nil {
		return nil, nil, sum, malformed
	}
	return header, payload, sha256.Sum256([]byte(parts[0] + "." + parts[1])), nil
}

func checkHeader(text []byte) error {
	header, err := object(text)
	if err != nil {
		return Refuse(Malformed, nil)
	}
	algorithm, ok := header["alg"].(string)
	if !ok || !slices.Contains(Algorithms, algorithm) {
		return Refuse(Algorithm, nil)
	}
	// An access token says at+jwt. Critical extensions are none we know.
	if kind, given := header["typ"]; given && kind != "JWT" && kind != "jwt" {
		return Refuse(Malformed, errors.New("it is a token of another kind"))
	}
	if _, given := header["crit"]; given {
		return Refuse(Malformed, errors.New("it has critical extensions"))
	}
	return nil
}

// isFor reports whether an audience is the only one. A token for several could be presented here by the others.
func isFor(aud any, audience string) bool {
	if list, ok := aud.([]any); ok && len(list) == 1 {
		aud = list[0]
	}
	text, ok := aud.(string)
	return ok && text == audience && text != ""
}

// life returns when a token ends, or why it is not good now.
func life(claims map[string]any, now time.Time) (time.Time, error) {
	ends, endsOK := moment(claims["exp"])
	made, madeOK := moment(claims["iat"])
	from, fromOK := made, true
	if nbf, given := claims["nbf"]; given {
		from, fromOK = moment(nbf)
	}
	switch {
	case !endsOK || !madeOK || !fromOK:
		return time.Time{}, Refuse(Malformed, errors.New("exp, iat or nbf is no time"))
	case !now.Before(ends):
		return time.Time{}, Refuse(Expired, nil)
	case made.After(now.Add(Skew)) || from.After(now.Add(Skew)):
		return time.Time{}, Refuse(NotYet, nil)
	case ends.Sub(made) > MaxLife:
		return time.Time{}, Refuse(TooLong, nil)
	}
	return ends, nil
}

// moment is a NumericDate. Fractions are cut off.
func moment(claim any) (time.Time, bool) {
	number, ok := claim.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > math.MaxUint32 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

var errNotObject = errors.New("not one JSON object without repeated names")

// object decodes a JSON object and nothing after it. A name that stands there twice is refused: another reader may see the other value.
func object(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errNotObject
	}
	members := make(map[string]any)
	for decoder.More() {
		key, err := decoder.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		if _, twice := members[name]; twice {
			return nil, errNotObject
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, errNotObject
		}
		members[name] = value
	}
	if end, err := decoder.Token(); err != nil || end != json.Delim('}') || decoder.More() {
		return nil, errNotObject
	}
	return members, nil
}
