// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Strictly decodes the JSON of a record, which must have no unknown fields. Its error quotes no value, at most the name of an unknown field.
func Strictly(raw []byte, out any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(out)
	switch {
	case err == nil && decoder.More():
		return errors.New("more than one JSON text")
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field"):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	case err != nil:
		return errors.New("not the JSON object of this type of provider")
	}
	return nil
}

// Printable reports whether a credential is printable ASCII without spaces, so that it fits into a header.
func Printable(credential string) bool {
	for i := range len(credential) {
		if credential[i] <= ' ' || credential[i] >= 0x7f {
			return false
		}
	}
	return credential != ""
}
