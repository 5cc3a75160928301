// SPDX-License-Identifier: Apache-2.0

package idtoken_test

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/authn/idtoken"
)

const (
	forge    = "https://forge.example"
	audience = "https://lanyard.example"
	header   = `{"alg":"RS256","kid":"k1","typ":"JWT"}`
	// canary is the subject of every token here, and in no error.
	canary = "repo:acme/canary-5d1e:ref:refs/heads/main"
	claims = `{"iss":"` + forge + `","aud":"` + audience + `","sub":"` + canary + `","iat":1800000000,"nbf":1799999995,"exp":1800000300,"ref":"refs/heads/main","run_id":9007199254740993}`
)

// now is when the tokens of this file are read.
var now = time.Unix(1_800_000_000, 0)

// compact is a token with a signature nobody made: reading does not look at it.
func compact(header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(payload)) + ".c2lnbmF0dXJl"
}

// changed is the honest token with one part of its claims replaced.
func changed(old, new string) string { return compact(header, strings.Replace(claims, old, new, 1)) }

// padded is the honest token made n bytes long. A base64 text has no length of 4k+1, so n must be one that there is.
func padded(t *testing.T, n int) string {
	t.Helper()
	for pad := 0; ; pad++ {
		switch raw := changed("{", `{"pad":"`+strings.Repeat("x", n*3/4-len(claims)-60+pad)+`",`); {
		case len(raw) == n:
			return raw
		case len(raw) > n:
			t.Fatalf("no token has %d bytes", n)
		}
	}
}

func TestReadSaysWhyATokenIsNotToBeBelieved(t *testing.T) {
	subject := func(length int) string { return changed(canary, strings.Repeat("s", length)) }
	for name, tc := range map[string]struct {
		raw    string
		reason idtoken.Reason // "" if it is accepted
	}{
		"an honest one":                       {compact(header, claims), ""},
		"another algorithm with a public key": {compact(`{"alg":"EdDSA"}`, claims), ""},
		"typ in small letters":                {compact(`{"alg":"ES256","typ":"jwt"}`, claims), ""},
		"an audience that is a list of one":   {changed(`"`+audience+`"`, `["`+audience+`"]`), ""},
		"no nbf":                              {changed(`"nbf":1799999995,`, ""), ""},
		"times with fractions":                {changed("1800000300", "1800000300.9"), ""},
		"blanks around":                       {compact(header, " \n"+claims+"\t"), ""},
		"names of claims within a claim":      {changed(`"ref":`, `"actor":{"iss":1,"sub":2},"ref":`), ""},
		"a line end behind it, as files have": {compact(header, claims) + "\n", ""},
		"as long as may be":                   {padded(t, idtoken.MaxSize), ""},
		"a subject as long as may be":         {subject(idtoken.MaxSubject), ""},

		"nothing":                                {"", idtoken.Malformed},
		"two parts":                              {"e30.e30", idtoken.Malformed},
		"four parts":                             {compact(header, claims) + ".x", idtoken.Malformed},
		"five parts, as encrypted ones have":     {compact(header, claims) + ".x.y", idtoken.Malformed},
		"one byte too long":                      {padded(t, idtoken.MaxSize) + "A", idtoken.Malformed},
		"a header with padding":                  {strings.Replace(compact(`{}`, claims), "e30.", "e30=.", 1), idtoken.Malformed},
		"base64 of another alphabet":             {strings.Replace(compact(header, claims), ".", "+.", 1), idtoken.Malformed},
		"base64 with stray bits":                 {"e31.e30.AA", idtoken.Malformed},
		"a header with a line end":               {strings.Replace(compact(header, claims), ".", "\n.", 1), idtoken.Malformed},
		"claims with a line end in their base64": {strings.Replace(compact(header, claims), ".", ".\r\n", 1), idtoken.Malformed},
		"a header that is no object":             {compact(`["RS256"]`, claims), idtoken.Malformed},
		"a header with something behind":         {compact(header+"{}", claims), idtoken.Malformed},
		"two algorithms":                         {compact(`{"alg":"none","alg":"RS256"}`, claims), idtoken.Malformed},
		"an access token":                        {compact(`{"alg":"RS256","typ":"at+jwt"}`, claims), idtoken.Malformed},
		"a critical extension":                   {compact(`{"alg":"RS256","crit":["b64"],"b64":false}`, claims), idtoken.Malformed},
		"no critical extensions, critically":     {compact(`{"alg":"RS256","crit":null}`, claims), idtoken.Malformed},
		"claims that are no object":              {compact(header, "["+claims+"]"), idtoken.Malformed},
		"claims with something behind":           {compact(header, claims+claims), idtoken.Malformed},
		"claims that do not end":                 {compact(header, strings.TrimSuffix(claims, "}")), idtoken.Malformed},
		"two issuers":                            {changed(`"iss":`, `"iss":"https://mallory.example","iss":`), idtoken.Malformed},
		"two audiences":                          {changed(`"aud":`, `"aud":"https://other.example","aud":`), idtoken.Malformed},
		"two subjects, one in other letters":     {changed(`"sub":`, `"\u0073ub":"repo:acme/evil","sub":`), idtoken.Malformed},
		"a claim of nobody's twice":              {changed(`"ref":`, `"ref":"refs/heads/evil","ref":`), idtoken.Malformed},
		"no algorithm":                           {compact(`{}`, claims), idtoken.Algorithm},
		"algorithm none":                         {compact(`{"alg":"none"}`, claims), idtoken.Algorithm},
		"algorithm none in other letters":        {compact(`{"alg":"nOnE"}`, claims), idtoken.Algorithm},
		"an algorithm with a shared secret":      {compact(`{"alg":"HS256"}`, claims), idtoken.Algorithm},
		"an algorithm in other letters":          {compact(`{"alg":"rs256"}`, claims), idtoken.Algorithm},
		"a list of algorithms":                   {compact(`{"alg":["RS256"]}`, claims), idtoken.Algorithm},
		"an algorithm under another name":        {compact(`{"ALG":"RS256"}`, claims), idtoken.Algorithm},
		"another issuer":                         {changed(forge, "https://mallory.example"), idtoken.OtherIssuer},
		"the issuer with a slash":                {changed(forge, forge+"/"), idtoken.OtherIssuer},
		"the issuer in other letters":            {changed(forge, "https://Forge.example"), idtoken.OtherIssuer},
		"a list with the issuer":                 {changed(`"`+forge+`"`, `["`+forge+`"]`), idtoken.OtherIssuer},
		"an issuer under another name":           {changed(`"iss"`, `"ISS"`), idtoken.OtherIssuer},
		"another audience":                       {changed(audience, "https://other.example"), idtoken.OtherAudience},
		"an audience besides":                    {changed(`"`+audience+`"`, `["`+audience+`","https://other.example"]`), idtoken.OtherAudience},
		"the same audience twice":                {changed(`"`+audience+`"`, `["`+audience+`","`+audience+`"]`), idtoken.OtherAudience},
		"no audiences":                           {changed(`"`+audience+`"`, `[]`), idtoken.OtherAudience},
		"an audience within a list":              {changed(`"`+audience+`"`, `[["`+audience+`"]]`), idtoken.OtherAudience},
		"an audience that is nothing":            {changed(`"`+audience+`"`, `null`), idtoken.OtherAudience},
		"an end that is now":                     {changed("1800000300", "1800000000"), idtoken.Expired},
		"an end long ago":                        {changed("1800000300", "0"), idtoken.Expired},
		"no end":                                 {changed(`"exp"`, `"expires"`), idtoken.Malformed},
		"an end that is a text":                  {changed("1800000300", `"1800000300"`), idtoken.Malformed},
		"an end before time began":               {changed("1800000300", "-1"), idtoken.Malformed},
		"an end after all time":                  {changed("1800000300", "1e300"), idtoken.Malformed},
		"an end no number can hold":              {changed("1800000300", "1e999"), idtoken.Malformed},
		"no time it was made":                    {changed(`"iat"`, `"made"`), idtoken.Malformed},
		"a beginning that is no time":            {changed("1799999995", "null"), idtoken.Malformed},
		"a day and a second":                     {changed("1800000300", "1800086401"), idtoken.TooLong},
		"no subject":                             {changed(`"sub"`, `"subject"`), idtoken.Subject},
		"an empty subject":                       {changed(canary, ""), idtoken.Subject},
		"a subject too long":                     {subject(idtoken.MaxSubject + 1), idtoken.Subject},
		"a subject with a line end":              {changed(canary, canary+`\n`), idtoken.Subject},
		"a subject that looks like another":      {changed("acme", "\u0430cme"), idtoken.Subject},
		"a subject that is a number":             {changed(`"`+canary+`"`, "4711"), idtoken.Subject},
		"claims in another text than UTF-8":      {changed(canary, "repo:acme/\xff"), idtoken.Subject},
	} {
		token, err := idtoken.Read(tc.raw, forge, audience, now)
		switch {
		case tc.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.reason == "" && (token.Issuer != forge || token.Subject == "" || !now.Before(token.ExpiresAt)):
			t.Errorf("%s: got %+v", name, token)
		case tc.reason != "" && (err == nil || idtoken.ReasonOf(err) != tc.reason):
			t.Errorf("%s: got %v, want %s", name, err, tc.reason)
		case tc.reason != "" && (token.Claims != nil || token.Subject != ""):
			t.Errorf("%s: it is read all the same: %+v", name, token)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error tells of the token: %v", name, err)
		}
	}
}

func TestATokenIsGoodFromItsBeginningToItsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		made, from, ends int64 // seconds from now
		reason           idtoken.Reason
	}{
		"a second before its end":                   {-300, -300, 1, ""},
		"at its end":                                {-300, -300, 0, idtoken.Expired},
		"an issuer a minute ahead":                  {60, 60, 360, ""},
		"an issuer more than a minute ahead":        {61, -300, 360, idtoken.NotYet},
		"good in more than a minute":                {0, 61, 360, idtoken.NotYet},
		"a day":                                     {-3600, -3600, 86400 - 3600, ""},
		"a day and a second":                        {-3600, -3600, 86401 - 3600, idtoken.TooLong},
		"made before it was good, for more than it": {-86400, 0, 1, idtoken.TooLong},
	} {
		at := func(seconds int64) string { return strconv.FormatInt(now.Unix()+seconds, 10) }
		payload := strings.NewReplacer("1800000000", at(tc.made), "1799999995", at(tc.from), "1800000300", at(tc.ends)).Replace(claims)
		token, err := idtoken.Read(compact(header, payload), forge, audience, now)
		if err == nil && token.ExpiresAt.Unix() != now.Unix()+tc.ends {
			t.Errorf("%s: it ends at %s", name, token.ExpiresAt)
		}
		if got := idtoken.Reason(""); err != nil {
			if got = idtoken.ReasonOf(err); got != tc.reason {
				t.Errorf("%s: %s, want %q", name, got, tc.reason)
			}
		} else if tc.reason != "" {
			t.Errorf("%s: it is accepted", name)
		}
	}
}

// A token is used once. Of some algorithms whoever has one signature can make another, and none may make a second token of it.
func TestASumIsThatOfTheTokenWhateverItsSignature(t *testing.T) {
	read := func(raw string) idtoken.Token {
		t.Helper()
		token, err := idtoken.Read(raw, forge, audience, now)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	one := read(compact(header, claims))
	if other := read(compact(header, claims) + "AA"); other.Sum != one.Sum {
		t.Error("another signature makes another token")
	}
	if other := read(changed("refs/heads/main\"", "refs/heads/dev\"")); other.Sum == one.Sum {
		t.Error("another claim makes no other token")
	}
	if one.Subject != canary || one.Claims["ref"] != "refs/heads/main" {
		t.Errorf("got %+v", one)
	}
	if id, ok := one.Claims["run_id"].(interface{ String() string }); !ok || id.String() != "9007199254740993" {
		t.Errorf("a number of 17 digits became %v", one.Claims["run_id"])
	}
}

func TestAnErrorThatIsNoReasonSaysNothingOfTheToken(t *testing.T) {
	if got := idtoken.ReasonOf(errors.New("etcd is away")); got != idtoken.Unreachable {
		t.Errorf("got %s", got)
	}
	cause := errors.New("cause")
	if err := idtoken.Refuse(idtoken.Unreachable, cause); !errors.Is(err, cause) || err.Error() != "ID token not accepted: issuer-unreachable: cause" {
		t.Errorf("got %v", err)
	}
}
