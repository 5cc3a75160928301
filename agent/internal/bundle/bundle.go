// SPDX-License-Identifier: Apache-2.0

// Package bundle writes all values of a container into one file, in formats that applications read. A value that a format cannot carry byte for byte is an error,
// never changed.
package bundle

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// An Entry is one ENV. Its Name is a POSIX name, which needs escaping in no format.
type Entry struct {
	Name  string
	Value []byte
}

// A Problem says that a format cannot carry the value of one entry, and why. It does not hold the value.
type Problem struct {
	Index int // of the entry
	Err   error
}

// Encode returns the entries in a format of [podspec.Bundles], in a slice of exactly its length, so that no outgrown one keeps values. It panics on another format.
// If there are problems, one for each entry that the format cannot carry, there is nothing else.
func Encode(format string, entries []Entry) ([]byte, []Problem) {
	write, check := writers[format], checks[format]
	if write == nil {
		panic("bundle: unknown format " + format)
	}
	var problems []Problem
	for i, e := range entries {
		if err := check(e.Value); err != nil {
			problems = append(problems, Problem{i, err})
		}
	}
	if problems != nil {
		return nil, problems
	}
	var s sink
	write(&s, entries)
	s = sink{data: make([]byte, 0, s.size)}
	write(&s, entries)
	return s.data, nil
}

var writers = map[string]func(*sink, []Entry){
	podspec.BundleJSON: writeJSON, podspec.BundleDotenv: writeDotenv, podspec.BundleProperties: writeProperties,
}

var checks = map[string]func([]byte) error{
	podspec.BundleJSON: checkText, podspec.BundleDotenv: checkDotenv, podspec.BundleProperties: checkText,
}

func checkText(value []byte) error {
	if !utf8.Valid(value) {
		return errors.New("it is not UTF-8, which this format of lanyard.dev/files-bundle needs")
	}
	return nil
}

func checkDotenv(value []byte) error {
	for _, b := range value {
		if b < ' ' || b == 0x7f || b == '\'' || b == '\\' {
			return errors.New("it has a quote, a backslash or a control character, on which readers of dotenv files disagree; use the format json")
		}
	}
	return checkText(value)
}

// sink counts what is written to it, and keeps it if it has room.
type sink struct {
	data []byte
	size int
}

func (s *sink) text(text string) {
	s.size += len(text)
	if s.data != nil {
		s.data = append(s.data, text...)
	}
}

func (s *sink) bytes(b ...byte) {
	s.size += len(b)
	if s.data != nil {
		s.data = append(s.data, b...)
	}
}

// unicode writes a UTF-16 unit.
func (s *sink) unicode(unit rune) {
	const digits = "0123456789abcdef"
	s.bytes('\\', 'u', digits[unit>>12&0xf], digits[unit>>8&0xf], digits[unit>>4&0xf], digits[unit&0xf])
}

// writeJSON writes an object with one line for each entry.
func writeJSON(s *sink, entries []Entry) {
	s.text("{")
	for i, e := range entries {
		if i > 0 {
			s.text(",")
		}
		s.text("\n  \"")
		s.text(e.Name)
		s.text(`": "`)
		for _, b := range e.Value {
			switch {
			case b == '"' || b == '\\':
				s.bytes('\\', b)
			case b < ' ':
				s.unicode(rune(b))
			default:
				s.bytes(b)
			}
		}
		s.text(`"`)
	}
	s.text("\n}\n")
}

func writeDotenv(s *sink, entries []Entry) {
	for _, e := range entries {
		s.text(e.Name)
		s.text("='")
		s.bytes(e.Value...)
		s.text("'\n")
	}
}

// writeProperties escapes everything but printable ASCII: whether a reader takes the file for ISO 8859-1, as the format has it, or for UTF-8 makes no difference then.
func writeProperties(s *sink, entries []Entry) {
	for _, e := range entries {
		s.text(e.Name)
		s.text("=")
		for rest := e.Value; len(rest) > 0; {
			r, size := utf8.DecodeRune(rest)
			switch {
			case r == '\\' || r == ' ' && len(rest) == len(e.Value): // a leading space would be the separator's
				s.bytes('\\', byte(r))
			case ' ' <= r && r < 0x7f:
				s.bytes(byte(r))
			case r > 0xffff:
				high, low := utf16.EncodeRune(r)
				s.unicode(high)
				s.unicode(low)
			default:
				s.unicode(r)
			}
			rest = rest[size:]
		}
		s.text("\n")
	}
}
