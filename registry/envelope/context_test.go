// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// decodeContext is the inverse of encode. That it exists is the proof that
// encode is injective.
func decodeContext(b []byte) (Context, error) {
	var fields [5][]byte
	for i := range fields {
		if len(b) < fieldHeader || b[0] != byte(i+1) {
			return Context{}, errors.New("field header")
		}
		n := binary.BigEndian.Uint64(b[1:fieldHeader])
		b = b[fieldHeader:]
		if n > uint64(len(b)) {
			return Context{}, errors.New("field length")
		}
		fields[i], b = b[:n], b[n:]
	}
	if len(b) != 0 || string(fields[0]) != schema || len(fields[3]) != 8 {
		return Context{}, errors.New("trailing bytes, schema or version")
	}
	return Context{
		Org:     string(fields[1]),
		Secret:  string(fields[2]),
		Version: binary.BigEndian.Uint64(fields[3]),
		Key:     string(fields[4]),
	}, nil
}

func TestFieldBoundariesAreEncoded(t *testing.T) {
	contexts := []Context{
		{Org: "xy", Secret: "z"}, {Org: "x", Secret: "yz"}, {Org: "xyz"}, {Secret: "xyz"}, {Key: "xyz"},
		{Org: "x", Secret: "y", Key: "z"}, {Org: "x", Key: "yz"}, {}, {Version: 1}, {Version: 1 << 56},
		{Org: "\x02\x00\x00\x00\x00\x00\x00\x00\x00"}, {Org: "x\x03\x00\x00\x00\x00\x00\x00\x00\x01y"},
	}
	for i, a := range contexts {
		for j, b := range contexts {
			if i != j && bytes.Equal(a.encode(), b.encode()) {
				t.Errorf("%+v and %+v encode equal", a, b)
			}
		}
	}
}

func FuzzContextEncoding(f *testing.F) {
	f.Add("xy", "z", uint64(1), "k", "x", "yz", uint64(1), "k")
	f.Add("", "", uint64(0), "", "\x02\x00", "", uint64(1<<63), "\x05")
	f.Fuzz(func(t *testing.T, o1, s1 string, v1 uint64, k1, o2, s2 string, v2 uint64, k2 string) {
		a := Context{Org: o1, Secret: s1, Version: v1, Key: k1}
		b := Context{Org: o2, Secret: s2, Version: v2, Key: k2}
		if (a == b) != bytes.Equal(a.encode(), b.encode()) {
			t.Fatalf("%+v and %+v: equal %v, encodings equal %v", a, b, a == b, a != b)
		}
		if got, err := decodeContext(a.encode()); err != nil || got != a {
			t.Fatalf("decode(encode(%+v)) = %+v, %v", a, got, err)
		}
	})
}
