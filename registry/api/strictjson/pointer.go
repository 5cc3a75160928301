// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"strings"
	"unicode/utf8"
)

// maxToken bounds what of a name appears in a pointer: longer than any name the API has, shorter than most things that are not names.
const maxToken = 128

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// Pointer returns the JSON pointer (RFC 6901) of the names and positions on the way to a value, "" for the whole document. Long names are cut.
func Pointer(path ...string) string {
	var b strings.Builder
	for _, token := range path {
		if len(token) > maxToken {
			token = token[:maxToken]
			for !utf8.ValidString(token) {
				token = token[:len(token)-1]
			}
			token += "…"
		}
		b.WriteByte('/')
		b.WriteString(escape.Replace(token))
	}
	return b.String()
}
