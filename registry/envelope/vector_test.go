// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hexBytes is hexadecimal in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vectors is testdata/v1.json, which v1.py wrote independently of this
// package. The file is frozen; never regenerate it.
type vectors struct {
	KeyFile       string   `json:"key_file"`
	KID           KID      `json:"kid"`
	KCV           hexBytes `json:"kcv"`
	DerivePurpose string   `json:"derive_purpose"`
	Derived       hexBytes `json:"derived"`
	Envelopes     []struct {
		Org, Secret, Key string
		Version          uint64 `json:",string"`
		Random           hexBytes
		Plaintext        hexBytes
		Envelope         hexBytes
	}
	Records []struct {
		Key, Kind string
		Payload   hexBytes
		Record    hexBytes
	}
}

func readVectors(t *testing.T) (vectors, *Ring) {
	t.Helper()
	b, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey([]byte(v.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	return v, r
}

func TestFrozenVectorsAreWrittenAndReadByteForByte(t *testing.T) {
	v, r := readVectors(t)
	if r.Primary() != v.KID {
		t.Errorf("kid = %v, want %v", r.Primary(), v.KID)
	}
	kcv, err := r.KeyCheck(v.KID)
	if err != nil || !bytes.Equal(kcv, v.KCV) {
		t.Errorf("KeyCheck = %x, %v, want %x", kcv, err, v.KCV)
	}
	if derived := r.Derive(v.DerivePurpose); !bytes.Equal(derived[:], v.Derived) {
		t.Errorf("Derive = %x, want %x", derived, v.Derived)
	}
	if len(v.Envelopes) == 0 || len(v.Records) == 0 {
		t.Fatal("testdata/v1.json holds no vectors")
	}
	for _, e := range v.Envelopes {
		c := Context{Org: e.Org, Secret: e.Secret, Version: e.Version, Key: e.Key}
		random := bytes.NewReader(e.Random)
		r.keys().random = func(b []byte) {
			if n, _ := random.Read(b); n != len(b) {
				t.Fatal("Seal wants more randomness than the vector has")
			}
		}
		sealed, err := r.Seal(c, e.Plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]byte(e.Envelope), sealed); diff != "" || random.Len() != 0 {
			t.Errorf("version %d: sealing left %d random bytes; envelope (-want +got):\n%s", e.Version, random.Len(), diff)
		}
		opened, err := r.Open(c, e.Envelope)
		if err != nil || !bytes.Equal(opened, e.Plaintext) {
			t.Errorf("version %d: Open = %x, %v, want %x", e.Version, opened, err, []byte(e.Plaintext))
		}
	}
	for _, rec := range v.Records {
		if diff := cmp.Diff([]byte(rec.Record), r.SealRecord(rec.Key, rec.Kind, rec.Payload)); diff != "" {
			t.Errorf("record %q (-want +got):\n%s", rec.Key, diff)
		}
		payload, err := r.OpenRecord(rec.Key, rec.Kind, rec.Record)
		if err != nil || !bytes.Equal(payload, rec.Payload) {
			t.Errorf("record %q: OpenRecord = %x, %v, want %x", rec.Key, payload, err, []byte(rec.Payload))
		}
	}
}
