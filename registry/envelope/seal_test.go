// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

var testContext = Context{Org: "org-1", Secret: "secret-1", Version: 1, Key: "/lanyard/v1/versions/secret-1/1"}

func mustSeal(t testing.TB, r *Ring, c Context, plaintext []byte) []byte {
	t.Helper()
	sealed, err := r.Seal(c, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// refused reports whether err is one of the answers to a bad envelope or
// record, as opposed to nil or to an error nobody documented.
func refused(err error) bool {
	return err == ErrCorrupt || err == ErrFormat || errors.Is(err, ErrUnknownKey)
}

func TestSealedValuesOpenToTheByte(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	for _, plaintext := range [][]byte{nil, {}, {0}, []byte(" '\"$\\\r\n\x00\xff"), bytes.Repeat([]byte{'v'}, 64<<10)} {
		given := bytes.Clone(plaintext)
		sealed := mustSeal(t, r, testContext, plaintext)
		if len(sealed) != len(plaintext)+Overhead || cap(sealed) != len(sealed) {
			t.Errorf("envelope of %d bytes has length %d, capacity %d", len(plaintext), len(sealed), cap(sealed))
		}
		before := bytes.Clone(sealed)
		opened, err := r.Open(testContext, sealed)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Errorf("value of %d bytes did not survive: %v", len(plaintext), err)
		}
		if !bytes.Equal(sealed, before) || !bytes.Equal(plaintext, given) {
			t.Error("Seal or Open changed its argument")
		}
		clear(opened)
		if !bytes.Equal(sealed, before) {
			t.Error("the plaintext aliases the envelope")
		}
	}
}

func TestIncompleteContextIsRefused(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	r := newTestRing(t, a, b)
	sealed := mustSeal(t, newTestRing(t, b), testContext, []byte("v"))
	for name, c := range map[string]Context{
		"without anything":        {},
		"without an organization": {Secret: "s", Version: 1, Key: "k"},
		"without a secret":        {Org: "o", Version: 1, Key: "k"},
		"without a key":           {Org: "o", Secret: "s", Version: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := r.Seal(c, []byte("v")); err != ErrContext {
				t.Errorf("Seal: %v, want ErrContext", err)
			}
			if _, err := r.Open(c, sealed); err != ErrContext {
				t.Errorf("Open: %v, want ErrContext", err)
			}
			if _, _, err := r.Rewrap(c, sealed); err != ErrContext {
				t.Errorf("Rewrap: %v, want ErrContext", err)
			}
		})
	}
}

func TestAnyFlippedBitIsRefused(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	sealed := mustSeal(t, newTestRing(t, a), testContext, []byte("a value of some length, 33 bytes."))
	reader := newTestRing(t, b, a)
	for i := range len(sealed) * 8 {
		sealed[i/8] ^= 1 << (i % 8)
		plaintext, err := reader.Open(testContext, sealed)
		want := ErrCorrupt
		switch {
		case i/8 < 2:
			want = ErrFormat
		case i/8 < headerSize:
			want = ErrUnknownKey
		}
		if !errors.Is(err, want) || plaintext != nil {
			t.Errorf("bit %d: Open = %q, %v, want %v", i, plaintext, err, want)
		}
		// Rewrap does not read the value, only what leads to it.
		if _, _, err := reader.Rewrap(testContext, sealed); i/8 < minSize-tagSize-nonceSize && !refused(err) {
			t.Errorf("bit %d: Rewrap: %v, want it refused", i, err)
		}
		sealed[i/8] ^= 1 << (i % 8)
	}
	if _, err := reader.Open(testContext, sealed); err != nil {
		t.Fatalf("the envelope itself: %v", err)
	}
}

func TestATruncatedOrExtendedEnvelopeIsRefused(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	sealed := mustSeal(t, r, testContext, []byte("value"))
	for n := range sealed {
		if _, err := r.Open(testContext, sealed[:n]); err != ErrCorrupt {
			t.Errorf("first %d bytes: %v, want ErrCorrupt", n, err)
		}
		if _, err := r.Open(testContext, sealed[n+1:]); !refused(err) {
			t.Errorf("without the first %d bytes: %v, want it refused", n+1, err)
		}
	}
	if _, err := r.Open(testContext, append(sealed, 0)); err != ErrCorrupt {
		t.Errorf("one byte more: %v, want ErrCorrupt", err)
	}
}

func TestUnknownVersionAndAlgorithmAreNamed(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	sealed := mustSeal(t, r, testContext, []byte("value"))
	for pos := range 2 {
		for b := range 256 {
			if b == 1 {
				continue
			}
			other := bytes.Clone(sealed)
			other[pos] = byte(b)
			if _, err := r.Open(testContext, other); err != ErrFormat {
				t.Errorf("byte %d = %d: Open: %v, want ErrFormat", pos, b, err)
			}
			if _, err := EnvelopeKID(other[:pos+1]); err != ErrFormat {
				t.Errorf("byte %d = %d: EnvelopeKID of a stub: %v, want ErrFormat", pos, b, err)
			}
		}
	}
}

// TestAnEnvelopeOpensOnlyWhereItWasSealed swaps every envelope of a 4×4×4
// fixture (organization, secret, version and key) into every other place.
func TestAnEnvelopeOpensOnlyWhereItWasSealed(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	var places []Context
	for o := range 4 {
		for s := range 4 {
			for v := range 4 {
				places = append(places, Context{
					Org:     fmt.Sprint("org-", o),
					Secret:  fmt.Sprint("secret-", s),
					Version: uint64(v),
					Key:     fmt.Sprint("/k/", v/2), // versions 0,1 and 2,3 share a key: each field counts alone
				})
			}
		}
	}
	for i, from := range places {
		sealed := mustSeal(t, r, from, []byte("value"))
		for j, to := range places {
			_, err := r.Open(to, sealed)
			if want := error(nil); i == j && err != want {
				t.Errorf("%+v: %v", from, err)
			}
			if i != j && err != ErrCorrupt {
				t.Errorf("sealed for %+v, opened for %+v: %v, want ErrCorrupt", from, to, err)
			}
		}
		moved := from
		moved.Key += "x"
		if _, err := r.Open(moved, sealed); err != ErrCorrupt {
			t.Errorf("sealed for %+v, opened for %+v: %v, want ErrCorrupt", from, moved, err)
		}
	}
}

// TestPartsOfTwoEnvelopesDoNotCombine exchanges each part of one version with
// the same part of another value sealed for the very same context.
func TestPartsOfTwoEnvelopesDoNotCombine(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	a := mustSeal(t, r, testContext, []byte("old value"))
	b := mustSeal(t, r, testContext, []byte("new value"))
	cuts := []int{0, headerSize, headerSize + saltSize, headerSize + saltSize + nonceSize,
		minSize - tagSize - nonceSize - commitSize, minSize - tagSize - nonceSize, minSize - tagSize, len(a)}
	for mask := 1; mask < 1<<(len(cuts)-1)-1; mask++ {
		mixed := bytes.Clone(a)
		for part := range len(cuts) - 1 {
			if mask&(1<<part) != 0 {
				copy(mixed[cuts[part]:cuts[part+1]], b[cuts[part]:cuts[part+1]])
			}
		}
		if bytes.Equal(mixed, a) || bytes.Equal(mixed, b) {
			continue
		}
		if _, err := r.Open(testContext, mixed); err != ErrCorrupt {
			t.Errorf("mask %07b: %v, want ErrCorrupt", mask, err)
		}
	}
}

func TestAnotherKeyDoesNotOpen(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	sealed := mustSeal(t, newTestRing(t, a), testContext, []byte("value"))

	var unknown *UnknownKeyError
	if _, err := newTestRing(t, b).Open(testContext, sealed); !errors.As(err, &unknown) || unknown.KID != a.KID() {
		t.Errorf("ring without the key: %v, want UnknownKeyError of %v", err, a.KID())
	}

	relabelled := bytes.Clone(sealed)
	kid := b.KID()
	copy(relabelled[2:], kid[:])
	if _, err := newTestRing(t, a, b).Open(testContext, relabelled); err != ErrCorrupt {
		t.Errorf("kid of another key of the ring: %v, want ErrCorrupt", err)
	}

	// A KEK that is wrong but claims the right kid, as no honest ring can hold.
	forged := newTestKey(t)
	forged.kek().kid = a.KID()
	if _, err := newTestRing(t, forged).Open(testContext, sealed); err != ErrCorrupt {
		t.Errorf("wrong key under the right kid: %v, want ErrCorrupt", err)
	}
}

// TestTheCommitmentIsCheckedByItself builds what no holder of a KEK writes: a
// well-wrapped DEK and a value that decrypts, but a foreign commitment.
func TestTheCommitmentIsCheckedByItself(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	sealed := mustSeal(t, r, testContext, []byte("value"))
	_, _, dek, err := r.unseal(testContext, sealed)
	if err != nil {
		t.Fatal(err)
	}
	other := testContext
	other.Version++
	copy(split(sealed).commit, expand(dek, labelCommit+string(other.encode()), commitSize))
	if _, err := r.Open(testContext, sealed); err != ErrCorrupt {
		t.Errorf("Open: %v, want ErrCorrupt", err)
	}
}

func TestRewrapMovesTheDEKOnly(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	old, both, fresh := newTestRing(t, a), newTestRing(t, b, a), newTestRing(t, b)
	sealed := mustSeal(t, old, testContext, []byte("value"))
	before := bytes.Clone(sealed)

	moved, changed, err := both.Rewrap(testContext, sealed)
	if err != nil || !changed {
		t.Fatalf("Rewrap: changed %v, %v", changed, err)
	}
	if !bytes.Equal(sealed, before) {
		t.Error("Rewrap changed its argument")
	}
	if got, err := fresh.Open(testContext, moved); err != nil || string(got) != "value" {
		t.Errorf("after the rotation: %q, %v", got, err)
	}
	if _, err := old.Open(testContext, moved); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("old key alone: %v, want ErrUnknownKey", err)
	}
	from, to := split(before), split(moved)
	if !bytes.Equal(from.commit, to.commit) || !bytes.Equal(from.valueNonce, to.valueNonce) || !bytes.Equal(from.value, to.value) {
		t.Error("Rewrap touched the value")
	}
	if bytes.Equal(from.salt, to.salt) || bytes.Equal(from.wrapNonce, to.wrapNonce) || bytes.Equal(from.wrapped, to.wrapped) {
		t.Error("Rewrap kept a part of the old wrapping")
	}
	if id, err := EnvelopeKID(moved); err != nil || id != b.KID() {
		t.Errorf("EnvelopeKID = %v, %v, want %v", id, err, b.KID())
	}

	again, changed, err := both.Rewrap(testContext, moved)
	if err != nil || changed || !bytes.Equal(again, moved) {
		t.Errorf("second Rewrap: changed %v, %v", changed, err)
	}
	elsewhere := testContext
	elsewhere.Org = "org-2"
	if _, _, err := both.Rewrap(elsewhere, sealed); err != ErrCorrupt {
		t.Errorf("Rewrap for another context: %v, want ErrCorrupt", err)
	}
	if _, _, err := fresh.Rewrap(testContext, sealed); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("Rewrap without the old key: %v, want ErrUnknownKey", err)
	}
}

// TestNoSaltOrNonceRepeats seals one value 10⁵ times. Salts make every wrap key
// and the DEK makes every value key single-use; a repeat would mean that the
// random source is not consulted each time.
func TestNoSaltOrNonceRepeats(t *testing.T) {
	const seals = 100_000
	r := newTestRing(t, newTestKey(t))
	salts := make(map[[saltSize]byte]bool, seals)
	wraps := make(map[[nonceSize]byte]bool, seals)
	values := make(map[[nonceSize]byte]bool, seals)
	commits := make(map[[commitSize]byte]bool, seals) // a commitment stands for its DEK
	for range seals {
		e := split(mustSeal(t, r, testContext, nil))
		salts[[saltSize]byte(e.salt)] = true
		wraps[[nonceSize]byte(e.wrapNonce)] = true
		values[[nonceSize]byte(e.valueNonce)] = true
		commits[[commitSize]byte(e.commit)] = true
	}
	for name, n := range map[string]int{
		"salts": len(salts), "wrap nonces": len(wraps), "value nonces": len(values), "DEKs": len(commits),
	} {
		if n != seals {
			t.Errorf("%d distinct %s in %d seals", n, name, seals)
		}
	}
}

func TestSealClearsItsDEK(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	var dek []byte
	r.keys().random = func(b []byte) {
		fromRand(b)
		if dek == nil {
			dek = b // the first thing drawn
		}
	}
	mustSeal(t, r, testContext, []byte("value"))
	if len(dek) != keySize || !bytes.Equal(dek, make([]byte, keySize)) {
		t.Error("the DEK is still in memory after Seal")
	}
}

func FuzzOpen(f *testing.F) {
	// Key and randomness are fixed: fuzzing spans processes, and a finding must reproduce.
	r := newTestRing(f, newKey(&[keySize]byte{1, 2, 3}))
	r.keys().random = func(b []byte) { clear(b) }
	sealed := mustSeal(f, r, testContext, []byte("value"))
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add(sealed[:minSize])
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, envelope []byte) {
		plaintext, err := r.Open(testContext, envelope)
		if err == nil && !bytes.Equal(envelope, sealed) {
			t.Fatalf("an envelope nobody sealed opened to %q", plaintext)
		}
		if err != nil && !refused(err) {
			t.Fatalf("Open: undocumented error %v", err)
		}
		if _, _, err := r.Rewrap(testContext, envelope); err != nil && !refused(err) {
			t.Fatalf("Rewrap: undocumented error %v", err)
		}
	})
}
