// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Document is what one read returned: a JSON object of named values. It prints redacted. It is shared by all who take part in the read, so nobody wipes it; it lives as
// long as the resolves that use it.
type Document struct {
	whole  redact.Value            // the object, compact
	fields map[string]redact.Value // :: key → JSON text
	// Leased says that the values were made for this read alone (the credentials of a dynamic engine): they must not be given to two resolves.
	Leased bool

	provider string // its name, for errors
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

// Value returns a copy of the value under key, which the caller owns. A JSON string gives its text; a number, boolean, array or object gives its JSON as the server wrote it, so that long
// numbers keep every digit. An empty key gives the whole object as compact JSON. The error is an [*Error].
func (d Document) Value(key string) (redact.Value, error) {
	if key == "" {
		return sized(bytes.Clone(d.whole.Reveal()))
	}
	field, ok := d.fields[key]
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

func sized(value []byte) (redact.Value, error) {
	if len(value) > wire.MaxValueBytes {
		clear(value)
		return redact.Value{}, &Error{Kind: KindUnrepresentable, Reason: ReasonValueTooLarge, Message: fmt.Sprintf("the value has more than %d bytes", wire.MaxValueBytes)}
	}
	return redact.New(value), nil
}
