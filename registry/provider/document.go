// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Document is what one read returned: a JSON object of named values. It prints redacted. It is shared by all who take part in the read, so nobody wipes it; it lives as
// long as the resolves that use it.
type Document struct {
	whole  redact.Value            // the object, compact
	fields map[string]redact.Value // :: key → JSON text
	bytes  map[string]redact.Value // :: key → value as it is; set instead of whole and fields
	text   bool                    // whole is a text of its own, which need not be JSON
	// Leased says that the values were made for this read alone (the credentials of a dynamic engine): they must not be given to two resolves.
	Leased bool
	// Lease is what renews and revokes them; nil if they end by themselves.
	Lease *Lease

	provider string    // its name, for errors
	readAt   time.Time // when the read began
	source   Source
	from     *opened // held until the lease is settled; nil without one
}

// NewDocument returns the document of a JSON object. The error is an [*Error] of KindInvalid.
func NewDocument(object []byte) (Document, error) {
	var raw map[string]json.RawMessage
	if err := DecodeJSON(object, &raw); err != nil {
		return Document{}, err
	}
	if raw == nil {
		return Document{}, &Error{Kind: KindInvalid, Reason: ReasonNull, Message: "the secret holds null instead of an object"}
	}
	var whole bytes.Buffer
	whole.Grow(len(object))
	if err := json.Compact(&whole, object); err != nil {
		return Document{}, notJSON()
	}
	d := Document{whole: redact.New(whole.Bytes()), fields: make(map[string]redact.Value, len(raw))}
	for key, text := range raw {
		d.fields[key] = redact.New(text)
	}
	return d, nil
}

// NewText returns the document of a secret that is one text or any bytes. As a whole it is given unchanged; if it is a JSON object, its keys are there as well.
func NewText(text []byte) Document {
	d := Document{whole: redact.New(text), text: true}
	if parsed, err := NewDocument(text); err == nil {
		d.fields = parsed.fields
	}
	return d
}

// NewBytes returns the document of named values that are any bytes. Each is given unchanged; the whole is a JSON object of strings, which there is only if all of them are text.
func NewBytes(values map[string][]byte) Document {
	d := Document{bytes: make(map[string]redact.Value, len(values))}
	for key, value := range values {
		d.bytes[key] = redact.New(value)
	}
	return d
}

// Value returns a copy of the value under key, which the caller owns. A JSON string gives its text; a number, boolean, array or object gives its JSON as the server wrote it, so that long
// numbers keep every digit. An empty key gives the whole object as compact JSON. The error is an [*Error].
func (d Document) Value(key string) (redact.Value, error) {
	if d.bytes != nil {
		return d.valueOfBytes(key)
	}
	if key == "" {
		return sized(bytes.Clone(d.whole.Reveal()))
	}
	field, ok := d.fields[key]
	if !ok && d.text && d.fields == nil {
		return redact.Value{}, &Error{Kind: KindNotFound, Reason: ReasonKey, Message: "the secret is not a JSON object, so it has no keys: leave the key away"}
	}
	if !ok {
		return redact.Value{}, &Error{Kind: KindNotFound, Reason: ReasonKey, Message: fmt.Sprintf("the secret has no key %q", key)}
	}
	text := field.Reveal()
	switch text[0] {
	case '"':
		value, err := unquote(text)
		if err != nil {
			return redact.Value{}, err
		}
		return sized(value)
	case 'n':
		return redact.Value{}, &Error{Kind: KindInvalid, Reason: ReasonNull, Message: fmt.Sprintf("the value of key %q is null", key)}
	case '{', '[':
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			return redact.Value{}, notJSON()
		}
		return sized(compact.Bytes())
	default:
		return sized(bytes.Clone(text))
	}
}

func (d Document) valueOfBytes(key string) (redact.Value, error) {
	if key != "" {
		value, ok := d.bytes[key]
		if !ok {
			return redact.Value{}, &Error{Kind: KindNotFound, Reason: ReasonKey, Message: fmt.Sprintf("the secret has no key %q", key)}
		}
		return sized(bytes.Clone(value.Reveal()))
	}
	whole := make(map[string]string, len(d.bytes))
	for key, value := range d.bytes {
		if !utf8.Valid(value.Reveal()) {
			return redact.Value{}, &Error{Kind: KindUnrepresentable, Reason: ReasonNotText, Message: fmt.Sprintf("the value of key %q is not text, so the secret cannot be read as a whole", key)}
		}
		whole[key] = string(value.Reveal())
	}
	var object bytes.Buffer
	encoder := json.NewEncoder(&object)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(whole); err != nil {
		return redact.Value{}, notJSON()
	}
	return sized(bytes.TrimSuffix(object.Bytes(), []byte("\n")))
}

// digest tells documents of different content apart.
func (d Document) digest() (sum [sha256.Size]byte) {
	if d.bytes == nil {
		return sha256.Sum256(d.whole.Reveal())
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(d.bytes)) {
		for _, part := range [][]byte{[]byte(key), d.bytes[key].Reveal()} {
			of := sha256.Sum256(part)
			h.Write(of[:])
		}
	}
	h.Sum(sum[:0])
	return sum
}

func sized(value []byte) (redact.Value, error) {
	if len(value) > wire.MaxValueBytes {
		clear(value)
		return redact.Value{}, &Error{Kind: KindUnrepresentable, Reason: ReasonValueTooLarge, Message: fmt.Sprintf("the value has more than %d bytes", wire.MaxValueBytes)}
	}
	return redact.New(value), nil
}
