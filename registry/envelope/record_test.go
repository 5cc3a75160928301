// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"errors"
	"sync"
	"testing"
)

const (
	testKey  = "/lanyard/v1/orgs/a"
	testKind = "organization"
)

func TestRecordsOpenToTheByte(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	for _, payload := range [][]byte{nil, {0}, []byte(`{"slug":"a"}`), bytes.Repeat([]byte{'p'}, 1<<20)} {
		record := r.SealRecord(testKey, testKind, payload)
		if len(record) != len(payload)+RecordOverhead {
			t.Errorf("record of %d bytes is %d long", len(payload), len(record))
		}
		got, err := r.OpenRecord(testKey, testKind, record)
		if err != nil || !bytes.Equal(got, payload) {
			t.Errorf("payload of %d bytes did not survive: %v", len(payload), err)
		}
		if cap(got) != len(got) {
			t.Errorf("appending to a payload would write %d bytes behind it", cap(got)-len(got))
		}
	}
}

func TestAnyFlippedBitOfARecordIsRefused(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	record := newTestRing(t, a).SealRecord(testKey, testKind, []byte(`{"slug":"a"}`))
	r := newTestRing(t, b, a)
	for i := range len(record) * 8 {
		record[i/8] ^= 1 << (i % 8)
		want := ErrCorrupt
		switch {
		case i/8 < 1:
			want = ErrFormat
		case i/8 < recordHeaderSize:
			want = ErrUnknownKey
		}
		if payload, err := r.OpenRecord(testKey, testKind, record); !errors.Is(err, want) || payload != nil {
			t.Errorf("bit %d: OpenRecord = %q, %v, want %v", i, payload, err, want)
		}
		record[i/8] ^= 1 << (i % 8)
	}
}

func TestATruncatedOrExtendedRecordIsRefused(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	record := r.SealRecord(testKey, testKind, []byte("payload"))
	for n := range record {
		if _, err := r.OpenRecord(testKey, testKind, record[:n]); err != ErrCorrupt {
			t.Errorf("first %d bytes: %v, want ErrCorrupt", n, err)
		}
	}
	if _, err := r.OpenRecord(testKey, testKind, append(record, 0)); err != ErrCorrupt {
		t.Errorf("one byte more: %v, want ErrCorrupt", err)
	}
}

func TestARecordIsBoundToKeyKindAndKEK(t *testing.T) {
	a, b := newTestKey(t), newTestKey(t)
	both := newTestRing(t, a, b)
	record := newTestRing(t, a).SealRecord("xy", "z", []byte("p"))
	relabelled := bytes.Clone(record)
	kid := b.KID()
	copy(relabelled[1:], kid[:])

	for name, tt := range map[string]struct {
		ring      *Ring
		key, kind string
		record    []byte
		want      error
	}{
		"where it was written":             {both, "xy", "z", record, nil},
		"under another key":                {both, "xx", "z", record, ErrCorrupt},
		"as another kind":                  {both, "xy", "y", record, ErrCorrupt},
		"with the boundary moved left":     {both, "x", "yz", record, ErrCorrupt},
		"with the boundary moved right":    {both, "xyz", "", record, ErrCorrupt},
		"with key and kind exchanged":      {both, "z", "xy", record, ErrCorrupt},
		"under another key's kid":          {both, "xy", "z", relabelled, ErrCorrupt},
		"by a ring without its key":        {newTestRing(t, b), "xy", "z", record, ErrUnknownKey},
		"if it is an envelope":             {both, "xy", "z", mustSeal(t, both, testContext, nil), ErrUnknownKey},
		"if it is empty":                   {both, "xy", "z", nil, ErrCorrupt},
		"if it is of a version to come":    {both, "xy", "z", []byte{2}, ErrFormat},
		"if it is the payload without MAC": {both, "xy", "z", []byte(`{"slug":"a"}`), ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tt.ring.OpenRecord(tt.key, tt.kind, tt.record); !errors.Is(err, tt.want) {
				t.Errorf("OpenRecord: %v, want %v", err, tt.want)
			}
		})
	}
	if id, err := RecordKID(record); err != nil || id != a.KID() {
		t.Errorf("RecordKID = %v, %v, want %v", id, err, a.KID())
	}
}

func TestPooledMACsDoNotMixUnderConcurrency(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			payload := bytes.Repeat([]byte{byte(g)}, 10+g)
			key := string(rune('a' + g))
			for range 500 {
				got, err := r.OpenRecord(key, testKind, r.SealRecord(key, testKind, payload))
				if err != nil || !bytes.Equal(got, payload) {
					t.Errorf("goroutine %d: %q, %v", g, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenRecordDoesNotAllocate(t *testing.T) {
	r := newTestRing(t, newTestKey(t))
	record := r.SealRecord(testKey, testKind, make([]byte, 512))
	n := testing.AllocsPerRun(100, func() {
		if _, err := r.OpenRecord(testKey, testKind, record); err != nil {
			t.Fatal(err)
		}
	})
	// The race detector makes pools drop items at random.
	if n > 0 && !raceEnabled {
		t.Errorf("OpenRecord allocates %v times, documented as none", n)
	}
}

func FuzzOpenRecord(f *testing.F) {
	r := newTestRing(f, newKey(&[keySize]byte{1, 2, 3})) // fixed, so that a finding reproduces
	sealed := r.SealRecord(testKey, testKind, []byte("payload"))
	f.Add(testKey, testKind, sealed)
	f.Add(testKey, "member", sealed)
	f.Add("", "", sealed[:recordMinSize])
	f.Add("", "", []byte{2})
	f.Fuzz(func(t *testing.T, key, kind string, record []byte) {
		payload, err := r.OpenRecord(key, kind, record)
		if err == nil && (key != testKey || kind != testKind || !bytes.Equal(record, sealed)) {
			t.Fatalf("a record nobody sealed opened to %q", payload)
		}
		if err != nil && !refused(err) {
			t.Fatalf("OpenRecord: undocumented error %v", err)
		}
	})
}
