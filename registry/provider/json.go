// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"encoding/json"
	"unicode/utf8"
)

// maxDepth is how deep JSON may nest. Real secrets nest two or three levels; encoding/json alone would follow ten thousand.
const maxDepth = 32

// DecodeJSON decodes an answer's body into out. It refuses what is not one JSON text, not UTF-8 or nested too deep, with an [*Error] of KindInvalid that quotes none of it.
func DecodeJSON(body []byte, out any) error {
	if tooDeep(body) {
		return &Error{Kind: KindInvalid, Reason: ReasonAnswer, Message: "the answer is nested too deep"}
	}
	// encoding/json would turn bad UTF-8 into replacement characters, that is, alter values.
	if !utf8.Valid(body) || json.Unmarshal(body, out) != nil {
		return notJSON()
	}
	return nil
}

func notJSON() *Error {
	return &Error{Kind: KindInvalid, Reason: ReasonAnswer, Message: "the answer is not the JSON that was expected"}
}

func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// unquote returns the text of a JSON string. A string may hold halves of surrogate pairs, which no UTF-8 stands for and which encoding/json would replace without a word.
func unquote(quoted []byte) ([]byte, error) {
	if loneSurrogate(quoted) {
		return nil, &Error{Kind: KindUnrepresentable, Reason: ReasonNotText, Message: "the value is not valid Unicode"}
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return nil, notJSON()
	}
	return []byte(s), nil
}

func loneSurrogate(quoted []byte) bool {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		i++ // the character after the backslash, which is not the beginning of another escape
		if i+4 >= len(quoted) || quoted[i] != 'u' {
			continue
		}
		unit := hex4(quoted[i+1:])
		i += 4
		switch {
		case unit >= 0xdc00 && unit <= 0xdfff:
			return true
		case unit >= 0xd800 && unit <= 0xdbff:
			if i+6 >= len(quoted) || quoted[i+1] != '\\' || quoted[i+2] != 'u' {
				return true
			}
			if low := hex4(quoted[i+3:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 6
		}
	}
	return false
}

func hex4(b []byte) (unit rune) {
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			unit = unit<<4 | rune(c|0x20-'a'+10)
		default:
			return 0
		}
	}
	return unit
}
