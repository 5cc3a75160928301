// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"strings"
)

// parseDotenv reads NAME=value lines. There is no standard; this is the part on which shells, Docker and the libraries agree, and what they disagree about is
// refused:
//
//   - Empty lines and lines beginning with # are nothing. "export " before a name is nothing.
//   - 'single quotes': everything up to the next one, over several lines, literally.
//   - "double quotes": the same, except that \n \r \t \\ \" and \$ are escapes. Any other backslash is refused.
//   - No quotes: to the end of the line or to a # after a blank, without blanks at either end. Quotes and backslashes in it are refused: some take them
//     literally, some do not.
//   - $ is a dollar sign. An item in which a shell would expand it has a note.
func parseDotenv(content []byte) ([]Item, error) {
	if bytes.IndexByte(content, 0) >= 0 {
		return nil, refuse("it holds a NUL byte and is no .env file")
	}
	s := scanner{rest: content, line: 1}
	var l list
	for s.skip() {
		start := s.line
		name, err := s.name()
		if err != nil {
			return nil, err
		}
		value, expands, err := s.value(name)
		if err != nil {
			return nil, err
		}
		note := ""
		if expands {
			note = "$ is kept as it is; nothing is expanded"
		}
		if err := l.add(name, value, note); err != nil {
			return nil, refuse("line %d: name %q stands there twice", start, name)
		}
	}
	return l.items, nil
}

type scanner struct {
	rest []byte
	line int
}

// skip moves to the next line that says something, and reports whether there is one.
func (s *scanner) skip() bool {
	for len(s.rest) > 0 {
		trimmed := bytes.TrimLeft(s.rest, " \t\r")
		if len(trimmed) > 0 && trimmed[0] != '\n' && trimmed[0] != '#' {
			s.rest = trimmed
			return true
		}
		s.restOfLine()
	}
	return false
}

// restOfLine takes what is left of this line, without its end.
func (s *scanner) restOfLine() []byte {
	text, rest, found := bytes.Cut(s.rest, []byte("\n"))
	if found {
		s.line++
	}
	s.rest = rest
	return bytes.TrimSuffix(text, []byte("\r"))
}

func (s *scanner) name() (string, error) {
	line, _, _ := bytes.Cut(s.rest, []byte("\n"))
	text, _, found := bytes.Cut(line, []byte("="))
	if !found {
		return "", refuse("line %d is not NAME=value", s.line)
	}
	name := string(text)
	if after, exported := strings.CutPrefix(name, "export "); exported {
		name = strings.TrimLeft(after, " \t")
	}
	for i := range len(name) {
		c := name[i]
		if c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && ('0' <= c && c <= '9' || c == '.' || c == '-') {
			continue
		}
		return "", refuse("line %d does not begin with a name and =", s.line) // what stands there may be the second line of a value
	}
	if name == "" {
		return "", refuse("line %d does not begin with a name and =", s.line)
	}
	s.rest = s.rest[len(text)+1:]
	return name, nil
}

func (s *scanner) value(name string) (value []byte, expands bool, err error) {
	if trimmed := bytes.TrimLeft(s.rest, " \t"); len(trimmed) > 0 && (trimmed[0] == '\'' || trimmed[0] == '"') {
		quote := trimmed[0]
		s.rest = trimmed[1:]
		if quote == '\'' {
			value, err = s.literal(name)
		} else {
			value, expands, err = s.escaped(name)
		}
		if err != nil {
			return nil, false, err
		}
		line := s.line
		tail := s.restOfLine()
		if after := bytes.TrimLeft(tail, " \t"); len(after) > 0 && (after[0] != '#' || len(after) == len(tail)) {
			return nil, false, refuse("line %d: something follows the closing quote of %s", line, name)
		}
		return value, expands, nil
	}
	line := s.line
	text := s.restOfLine()
	for i := range text {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	text = bytes.Trim(text, " \t")
	if bytes.ContainsAny(text, "'\"`\\\r") {
		return nil, false, refuse("line %d: the value of %s holds a quote, a backslash or a carriage return; put it between single quotes, or double quotes with escapes", line, name)
	}
	return bytes.Clone(text), bytes.IndexByte(text, '$') >= 0, nil
}

// literal takes everything up to the next single quote.
func (s *scanner) literal(name string) ([]byte, error) {
	end := bytes.IndexByte(s.rest, '\'')
	if end < 0 {
		return nil, refuse("line %d: the single quote that begins %s is never closed", s.line, name)
	}
	value := bytes.Clone(s.rest[:end])
	s.line += bytes.Count(value, []byte("\n"))
	s.rest = s.rest[end+1:]
	return value, nil
}

// escaped takes everything up to the next double quote that is not escaped.
func (s *scanner) escaped(name string) (value []byte, expands bool, err error) {
	start := s.line
	value = []byte{}
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			s.rest = s.rest[i+1:]
			return value, expands, nil
		case '\\':
			i++
			if i == len(s.rest) {
				return nil, false, refuse("line %d: the double quote that begins %s is never closed", start, name)
			}
			unescaped, known := escapes[s.rest[i]]
			if !known {
				return nil, false, refuse(`line %d: a backslash in %s is not one of \n \r \t \\ \" \$; write \\ for a backslash`, s.line, name)
			}
			value = append(value, unescaped)
		case '$':
			expands = true
			value = append(value, c)
		case '\n':
			s.line++
			value = append(value, c)
		default:
			value = append(value, c)
		}
	}
	return nil, false, refuse("line %d: the double quote that begins %s is never closed", start, name)
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '"': '"', '$': '$'}
