// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newTestKey(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey(NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newTestRing(t testing.TB, primary Key, others ...Key) *Ring {
	t.Helper()
	r, err := NewRing(primary, others...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseKey(t *testing.T) {
	secret := bytes.Repeat([]byte("s3cr3t-\xff"), 4) // encodes with '/', so URL encoding differs
	std := base64.StdEncoding.EncodeToString(secret)
	tests := map[string]struct {
		text string
		want error
	}{
		"a key alone is read":                       {std, nil},
		"one line ending is allowed":                {std + "\n", nil},
		"a Windows line ending is allowed":          {std + "\r\n", nil},
		"two line endings are refused":              {std + "\n\n", ErrKeyEncoding},
		"a key broken over two lines is refused":    {std[:20] + "\n" + std[20:], ErrKeyEncoding},
		"leading space is refused":                  {" " + std, ErrKeyEncoding},
		"trailing space is refused":                 {std + " ", ErrKeyEncoding},
		"the URL alphabet is refused":               {base64.URLEncoding.EncodeToString(secret), ErrKeyEncoding},
		"missing padding is refused":                {strings.TrimRight(std, "="), ErrKeyEncoding},
		"non-zero bits under the padding":           {std[:42] + "9=", ErrKeyEncoding},
		"raw bytes are refused":                     {string(secret), ErrKeyEncoding},
		"an empty file is refused":                  {"", ErrKeyLength},
		"a line ending alone is refused":            {"\n", ErrKeyLength},
		"16 bytes are refused":                      {base64.StdEncoding.EncodeToString(secret[:16]), ErrKeyLength},
		"33 bytes are refused":                      {base64.StdEncoding.EncodeToString(append(secret, 1)), ErrKeyLength},
		"a key encoded twice is refused":            {base64.StdEncoding.EncodeToString([]byte(std + "\n")), ErrKeyLength},
		"32 zero bytes are refused":                 {base64.StdEncoding.EncodeToString(make([]byte, 32)), ErrKeyWeak},
		"32 times any byte is refused":              {base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{'x'}, 32)), ErrKeyWeak},
		"a long file is refused without a panic":    {strings.Repeat("A", 1<<20), ErrKeyLength},
		"NUL bytes are refused":                     {"\x00" + std[1:], ErrKeyEncoding},
		"a hexadecimal key is refused by length":    {strings.Repeat("0123456789abcdef", 4), ErrKeyLength},
		"a PEM file is refused":                     {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ErrKeyEncoding},
		"a carriage return in the middle of a key ": {std[:20] + "\r" + std[20:], ErrKeyEncoding},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKey([]byte(tt.text))
			if !errors.Is(err, tt.want) {
				t.Fatalf("ParseKey: error %v, want %v", err, tt.want)
			}
			if err == nil && !bytes.Equal(k.kek().secret[:], secret) {
				t.Error("ParseKey read another key than the file holds")
			}
			if err != nil && len(tt.text) > 3 {
				for i := 0; i+8 <= min(len(std), len(tt.text)); i++ {
					if strings.Contains(err.Error(), tt.text[i:i+8]) {
						t.Errorf("error %q quotes the file", err)
					}
				}
			}
		})
	}
}

func TestRingRefusesZeroAndRepeatedKeys(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	for name, keys := range map[string][]Key{
		"if the primary is zero":           {{}},
		"if another key is zero":           {a, {}},
		"if the primary is given twice":    {a, a},
		"if another key is given twice":    {a, b, b},
		"if a copy of the primary follows": {a, b, a},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewRing(keys[0], keys[1:]...); err == nil {
				t.Error("NewRing accepted it")
			}
		})
	}
}

func TestRingsAreEqualIfKeysAndPrimaryAre(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	ab := newTestRing(t, a, b)
	for name, tt := range map[string]struct {
		other *Ring
		want  bool
	}{
		"the same keys":            {newTestRing(t, a, b), true},
		"another primary":          {newTestRing(t, b, a), false},
		"a key less":               {newTestRing(t, a), false},
		"a key more":               {newTestRing(t, a, b, newTestKey(t)), false},
		"another key beside it":    {newTestRing(t, a, newTestKey(t)), false},
		"the same key twice built": {ab, true},
	} {
		if got := ab.Equal(tt.other); got != tt.want {
			t.Errorf("%s: Equal = %v, want %v", name, got, tt.want)
		}
	}
	if diff := cmp.Diff(newTestRing(t, b, a).KIDs(), ab.KIDs()); diff != "" {
		t.Errorf("KIDs depend on the order of keys:\n%s", diff)
	}
}

func TestKeyCheckIsBoundToItsKey(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	r := newTestRing(t, a, b)
	kcv, err := r.KeyCheck(a.KID())
	if err != nil || len(kcv) != KeyCheckSize {
		t.Fatalf("KeyCheck = %d bytes, %v", len(kcv), err)
	}
	if err := r.VerifyKeyCheck(a.KID(), kcv); err != nil {
		t.Errorf("own value: %v", err)
	}
	if err := r.VerifyKeyCheck(b.KID(), kcv); !errors.Is(err, ErrKeyCheck) {
		t.Errorf("value of another key: %v, want ErrKeyCheck", err)
	}
	for _, bad := range [][]byte{nil, kcv[:15], append(bytes.Clone(kcv), 0)} {
		if err := r.VerifyKeyCheck(a.KID(), bad); !errors.Is(err, ErrKeyCheck) {
			t.Errorf("value of %d bytes: %v, want ErrKeyCheck", len(bad), err)
		}
	}
	absent := newTestKey(t).KID()
	var unknown *UnknownKeyError
	if err := r.VerifyKeyCheck(absent, kcv); !errors.As(err, &unknown) || unknown.KID != absent {
		t.Errorf("absent key: %v, want UnknownKeyError of %v", err, absent)
	}
	if _, err := r.DeriveFrom(absent, "x"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("DeriveFrom an absent key: %v, want ErrUnknownKey", err)
	}
}

func TestDerivedKeysDependOnPurposeAndKey(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	r := newTestRing(t, a, b)
	seen := map[[32]byte]string{}
	for _, k := range []Key{a, b} {
		// Internal labels as purposes must not reach the internal keys.
		internal := []string{labelKID, labelKCV, labelMAC, labelRecord, labelWrap, labelEnc, labelCommit, labelDerive}
		for _, p := range append(internal, "", "x", "xx", "page token", "/kid", "kid") {
			d, err := r.DeriveFrom(k.KID(), p)
			if err != nil {
				t.Fatal(err)
			}
			name := k.KID().String() + " " + p
			if other, dup := seen[d]; dup {
				t.Errorf("%q and %q derive the same key", name, other)
			}
			seen[d] = name
		}
		for _, l := range internal {
			if other, dup := seen[[32]byte(expand(k.kek().prk, l, keySize))]; dup {
				t.Errorf("purpose %q derives the internal key %q", other, l)
			}
		}
	}
	want, err := r.DeriveFrom(a.KID(), "x")
	if err != nil || r.Derive("x") != want {
		t.Errorf("Derive is not DeriveFrom the primary (%v)", err)
	}
}

func TestNoLabelIsAPrefixOfAnother(t *testing.T) {
	labels := []string{labelKID, labelKCV, labelMAC, labelRecord, labelWrap, labelEnc, labelCommit, labelDerive}
	for i, a := range labels {
		for j, b := range labels {
			if i != j && strings.HasPrefix(a, b) {
				t.Errorf("label %q begins with label %q", a, b)
			}
		}
	}
}

func TestKIDTextRoundTrips(t *testing.T) {
	id := newTestKey(t).KID()
	text, _ := id.MarshalText()
	var back KID
	if err := back.UnmarshalText(text); err != nil || back != id {
		t.Errorf("UnmarshalText(%q) = %v, %v", text, back, err)
	}
	for _, bad := range []string{"", "00", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg"} {
		if _, err := ParseKID(bad); !errors.Is(err, ErrKID) {
			t.Errorf("ParseKID(%q): %v, want ErrKID", bad, err)
		}
		if err := back.UnmarshalText([]byte(bad)); err == nil || back != id {
			t.Errorf("UnmarshalText(%q) = %v and left %v, want an error and no change", bad, err, back)
		}
	}
}
