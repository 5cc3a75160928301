// SPDX-License-Identifier: Apache-2.0

// Package strictjson finds what encoding/json would let pass and change without a word: bytes that are not UTF-8 and lone surrogates (it puts U+FFFD in their
// place), and repeated names (it keeps the last one). What [Check] accepts, encoding/json decodes to exactly what was sent.
package strictjson

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest; no request of the API nests deeper than 4.
const MaxDepth = 32

// An Error says which rule a text breaks and where. It repeats nothing of the text but the names on the way to the place.
type Error struct {
	Pointer string // JSON pointer to the innermost value the place is in
	Code    string // "encoding", "duplicate" or "syntax"
	Message string // for people
	Offset  int    // in bytes
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Pointer, e.Message) }

// Check returns an [*Error] unless text is one JSON value (RFC 8259) in valid UTF-8 whose strings are Unicode and whose objects repeat no name.
func Check(text []byte) error {
	s := scanner{text: text}
	s.space()
	err := s.value(0)
	if err == nil {
		if s.space(); s.at != len(text) {
			err = s.syntax("something follows the value")
		}
	}
	if err != nil {
		return err
	}
	return nil
}

type scanner struct {
	text []byte
	at   int
	path []string
}

func (s *scanner) fail(code, message string) *Error {
	return &Error{Pointer: Pointer(s.path...), Code: code, Message: message, Offset: s.at}
}

func (s *scanner) syntax(what string) *Error {
	return s.fail("syntax", fmt.Sprintf("it is not JSON: at byte %d, %s", s.at, what))
}

func (s *scanner) space() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) value(depth int) *Error {
	if depth > MaxDepth {
		return s.syntax("it nests too deep")
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.string(false)
		return err
	case c == '-' || isDigit(c):
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.text[s.at:min(len(s.text), s.at+len(word))]), word) {
			s.at += len(word)
			return nil
		}
	}
	return s.syntax("a value is missing")
}

func (s *scanner) object(depth int) *Error {
	seen := make(map[string]struct{})
	s.at++
	if s.space(); s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		if s.space(); s.peek() != '"' {
			return s.syntax("a name in double quotes is missing")
		}
		name, err := s.string(true)
		if err != nil {
			return err
		}
		s.path = append(s.path, name)
		if _, dup := seen[name]; dup {
			return s.fail("duplicate", "it is given twice")
		}
		seen[name] = struct{}{}
		if s.space(); s.peek() != ':' {
			return s.syntax("a colon is missing")
		}
		s.at++
		s.space()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		switch s.space(); s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return nil
		default:
			return s.syntax("a comma or the end of the object is missing")
		}
	}
}

func (s *scanner) array(depth int) *Error {
	s.at++
	if s.space(); s.peek() == ']' {
		s.at++
		return nil
	}
	for i := 0; ; i++ {
		s.path = append(s.path, strconv.Itoa(i))
		s.space()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		switch s.space(); s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.syntax("a comma or the end of the array is missing")
		}
	}
}

// string scans a string, and returns what it stands for if keep is set: a secret's value is not copied here.
func (s *scanner) string(keep bool) (string, *Error) {
	var b strings.Builder
	for s.at++; s.at < len(s.text); {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return b.String(), nil
		case c < ' ':
			return "", s.syntax("a control character stands in a string; write it as an escape")
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			if keep {
				b.WriteRune(r)
			}
		default:
			r, size := utf8.DecodeRune(s.text[s.at:])
			if r == utf8.RuneError && size == 1 {
				return "", s.fail("encoding", "it is not valid UTF-8; send other bytes as value_base64")
			}
			if keep {
				b.WriteRune(r)
			}
			s.at += size
		}
	}
	return "", s.syntax("a string does not end")
}

const simple, meaning = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

func (s *scanner) escape() (rune, *Error) {
	if s.at+1 >= len(s.text) {
		return 0, s.syntax("a string does not end")
	}
	if i := strings.IndexByte(simple, s.text[s.at+1]); i >= 0 {
		s.at += 2
		return rune(meaning[i]), nil
	}
	r, ok := s.unicode()
	if !ok {
		return 0, s.syntax("a string has an unknown escape")
	}
	const lone = "it has a lone surrogate, which stands for no character; send other bytes as value_base64"
	switch {
	case 0xdc00 <= r && r <= 0xdfff:
		return 0, s.fail("encoding", lone)
	case 0xd800 <= r && r <= 0xdbff:
		s.at += 6
		low, ok := s.unicode()
		if !ok || low < 0xdc00 || low > 0xdfff {
			return 0, s.fail("encoding", lone)
		}
		r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
	}
	s.at += 6
	return r, nil
}

// unicode reads \uXXXX at the current place without moving on.
func (s *scanner) unicode() (rune, bool) {
	if s.at+6 > len(s.text) || s.text[s.at] != '\\' || s.text[s.at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.text[s.at+2 : s.at+6] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

func (s *scanner) number() *Error {
	if s.peek() == '-' {
		s.at++
	}
	switch {
	case s.peek() == '0':
		s.at++
	case !s.digits():
		return s.syntax("a number has no digits")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.syntax("a number has no digits after its point")
		}
	}
	if s.peek()|0x20 == 'e' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.syntax("a number has no digits in its exponent")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	begin := s.at
	for isDigit(s.peek()) {
		s.at++
	}
	return s.at > begin
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
