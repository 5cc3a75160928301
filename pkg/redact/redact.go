// SPDX-License-Identifier: Apache-2.0

// Package redact holds bytes that must not be printed.
//
// A [Value] prints as "[redacted]" through every formatting verb of fmt, through log/slog and through the encoding packages, at any depth and
// in exported and unexported fields alike. It does not protect memory: whoever can call [Value.Reveal] has the bytes.
package redact

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
)

// Mark is what a redacted value prints as.
const Mark = "[redacted]"

// Value is a sequence of bytes that prints as [Mark]. The zero Value holds no bytes.
//
// The bytes sit behind two pointers: fmt cannot call methods on unexported struct fields and prints their contents in clear, but of a pointer below
// the first level it prints only the address.
type Value struct{ box **box }

type box struct{ bytes []byte }

// New returns a Value that owns b; the caller must not use b afterwards.
func New(b []byte) Value {
	inner := &box{bytes: b}
	return Value{box: &inner}
}

// Reveal returns the bytes, still owned by v. Only code that hands a value to its destination calls it: the encoder of the resolve protocol, the writers
// of the agent, and the envelope.
func (v Value) Reveal() []byte {
	if v.box == nil {
		return nil
	}
	return (*v.box).bytes
}

// Wipe overwrites the bytes with zeros. Copies of v share them and are wiped too.
func (v Value) Wipe() {
	b := v.Reveal()
	clear(b)
	runtime.KeepAlive(b)
}

func (Value) String() string   { return Mark }
func (Value) GoString() string { return Mark }

// Format implements [fmt.Formatter], which fmt prefers over every other interface and for every verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mark) }

// LogValue implements [slog.LogValuer].
func (Value) LogValue() slog.Value { return slog.StringValue(Mark) }

// MarshalJSON implements [encoding/json.Marshaler].
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Mark + `"`), nil }

// MarshalText implements [encoding.TextMarshaler]; XML and YAML encoders use it.
func (Value) MarshalText() ([]byte, error) { return []byte(Mark), nil }

// MarshalBinary implements [encoding.BinaryMarshaler]; gob uses it.
func (Value) MarshalBinary() ([]byte, error) { return []byte(Mark), nil }
