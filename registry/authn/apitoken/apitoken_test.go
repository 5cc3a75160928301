// SPDX-License-Identifier: Apache-2.0

package apitoken_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/authn/bearer"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const id = "0197a2b3-0000-7000-8000-00000000abcd"

// The format is a promise to secret scanners.
func TestTheFormatStays(t *testing.T) {
	const text = "lyd_0197a2b3-0000-7000-8000-00000000abcd_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_1TesGw"
	if got, err := apitoken.Parse(text); err != nil || got != id {
		t.Errorf("got %q, %v", got, err)
	}
	if body, sum := text[:len(text)-7], text[len(text)-6:]; checksumOf(t, body) != sum {
		t.Error("the checksum is no CRC-32 in base62")
	}
}

func TestParse(t *testing.T) {
	token := apitoken.New(id)
	if got, err := apitoken.Parse(token); err != nil || got != id {
		t.Fatalf("got %q, %v", got, err)
	}
	if token == apitoken.New(id) {
		t.Error("two tokens are alike")
	}
	last := token[len(token)-1:]
	for name, text := range map[string]string{
		"nothing":                "",
		"a bootstrap token":      "lyd_boot_" + strings.Repeat("A", 43),
		"cut short":              token[:len(token)-1],
		"more":                   token + "x",
		"another checksum":       token[:len(token)-1] + map[bool]string{true: "1", false: "0"}[last == "0"],
		"another secret":         strings.Replace(token, "_"+token[41:43], "_"+flip(token[41:43]), 1),
		"another id":             strings.Replace(token, "abcd", "abce", 1),
		"another prefix":         "lyx_" + token[4:],
		"upper case id":          rechecked(t, strings.Replace(token, "abcd", "ABCD", 1)),
		"an id that is none":     rechecked(t, strings.Replace(token, id, strings.Repeat("x", 36), 1)),
		"a secret not base64url": rechecked(t, token[:41]+"+"+token[42:]),
		"stray bits":             rechecked(t, token[:83]+"B"+token[84:]),
		"a dash for underscore":  rechecked(t, token[:40]+"-"+token[41:]),
	} {
		if _, err := apitoken.Parse(text); !errors.Is(err, apitoken.ErrToken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func flip(s string) string {
	if s == "AA" {
		return "BB"
	}
	return "AA"
}

// rechecked gives text a right checksum.
func rechecked(t *testing.T, text string) string {
	body := text[:len(text)-7]
	return body + "_" + checksumOf(t, body)
}

// checksumOf is another implementation, by hand.
func checksumOf(t *testing.T, body string) string {
	t.Helper()
	crc := ^uint32(0)
	for _, b := range []byte(body) {
		crc ^= uint32(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xedb88320
			} else {
				crc >>= 1
			}
		}
	}
	crc = ^crc
	out := ""
	for range 6 {
		out = string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[crc%62]) + out
		crc /= 62
	}
	return out
}

func FuzzParse(f *testing.F) {
	f.Add(apitoken.New(id))
	f.Add("lyd_")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := apitoken.Parse(text)
		if err != nil {
			if text != "" && len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Error("the error has the text")
			}
			return
		}
		if !strings.HasPrefix(text, "lyd_"+got+"_") || uuid.Validate(got) != nil {
			t.Errorf("%q has the id %q", text, got)
		}
	})
}

type tokens func(id string, sum [32]byte) (store.APIToken, error)

func (f tokens) VerifyAPIToken(_ context.Context, id string, sum [32]byte) (store.APIToken, error) {
	return f(id, sum)
}

func TestAuthenticate(t *testing.T) {
	token := apitoken.New(id)
	stored := store.APIToken{Meta: store.Meta{ID: id}, OrgID: "o", Role: store.RoleMember}
	for name, tc := range map[string]struct {
		header string
		token  store.APIToken
		err    error
		want   authz.Principal
		fails  bool
	}{
		"a member's token":         {"Bearer " + token, stored, nil, authz.Principal{Type: "token", ID: id, Org: "o", Role: authz.Member}, false},
		"an owner's token":         {"Bearer " + token, store.APIToken{Meta: stored.Meta, OrgID: "o", Role: store.RoleOwner}, nil, authz.Principal{Type: "token", ID: id, Org: "o", Role: authz.Owner}, false},
		"a role nobody knows":      {"Bearer " + token, store.APIToken{Meta: stored.Meta, OrgID: "o", Role: "admin"}, nil, authz.Principal{Type: "token", ID: id, Org: "o"}, false},
		"a token not in the store": {"Bearer " + token, store.APIToken{}, fmt.Errorf("x: %w", store.ErrNotFound), authz.Principal{}, false},
		"a store that cannot tell": {"Bearer " + token, store.APIToken{}, store.ErrUnavailable, authz.Principal{}, true},
		"another credential":       {"Bearer something", stored, nil, authz.Principal{}, false},
		"none":                     {"", stored, nil, authz.Principal{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := apitoken.Authenticator{Tokens: tokens(func(given string, sum [32]byte) (store.APIToken, error) {
				if given != id || sum != apitoken.Sum(token) {
					t.Error("the store was asked for something else")
				}
				return tc.token, tc.err
			})}
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", tc.header)
			got, err := a.Authenticate(r)
			if got != tc.want || (err != nil) != tc.fails || got.Admin {
				t.Errorf("got %+v, %v", got, err)
			}
			if err != nil && (strings.Contains(err.Error(), token) || !errors.Is(err, bearer.ErrUnchecked)) {
				t.Errorf("got %v", err)
			}
		})
	}
}
