// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/base64"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// readValue makes the value of a request, to the byte, or nil if there is none. The caller wipes it.
func readValue(text, encoded *string, random *contract.Generate) (*redact.Value, error) {
	switch {
	case random != nil && (text != nil || encoded != nil):
		return nil, field("/generate", "forbidden", "give either a value or generate, not both")
	case random != nil:
		return generate(*random)
	case text != nil && encoded != nil:
		return nil, field("/value_base64", "forbidden", "give either value or value_base64, not both")
	case text != nil:
		if len(*text) > wire.MaxValueBytes {
			return nil, field("/value", "too_long", "a value may have %d bytes", wire.MaxValueBytes)
		}
		v := redact.New([]byte(*text))
		return &v, nil
	case encoded != nil:
		raw, err := base64.StdEncoding.Strict().DecodeString(*encoded)
		if err != nil {
			clear(raw)
			return nil, field("/value_base64", "encoding", "it is not standard base64 (RFC 4648, section 4, with padding)")
		}
		v := redact.New(raw)
		if len(raw) > wire.MaxValueBytes {
			v.Wipe()
			return nil, field("/value_base64", "too_long", "a value may have %d bytes", wire.MaxValueBytes)
		}
		return &v, nil
	}
	return nil, nil
}

// wipe wipes a value there may be.
func wipe(v *redact.Value) {
	if v != nil {
		v.Wipe()
	}
}
