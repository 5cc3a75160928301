// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a slash-separated path.
const (
	MaxPath     = 512
	MaxSegments = 32
)

// ErrPath is wrapped by every error of [CleanPath].
var ErrPath = errors.New("path not usable")

// CleanPath checks that path is slash-separated and has exactly one reading, and returns it. It repairs nothing: a path that a server, a proxy and a policy could read
// differently is refused. That is: empty paths and segments (a leading, trailing or double slash), segments of dots only, '%', '\', '?', '#', control and
// formatting characters, space at the ends of a segment, invalid UTF-8, and what exceeds [MaxPath] bytes or [MaxSegments] segments. The error wraps [ErrPath].
func CleanPath(path string) (string, error) {
	if path == "" || len(path) > MaxPath {
		return "", fmt.Errorf("%w: it must have 1 to %d bytes", ErrPath, MaxPath)
	}
	if !utf8.ValidString(path) {
		return "", fmt.Errorf("%w: it is not valid UTF-8", ErrPath)
	}
	for _, r := range path {
		if strings.ContainsRune(`%\?#`, r) || r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return "", fmt.Errorf("%w: the character %+q is not allowed", ErrPath, r)
		}
	}
	segments := strings.Split(path, "/")
	if len(segments) > MaxSegments {
		return "", fmt.Errorf("%w: it has more than %d segments", ErrPath, MaxSegments)
	}
	for _, s := range segments {
		switch {
		case s == "":
			return "", fmt.Errorf("%w: it begins or ends with a slash or has two in a row", ErrPath)
		case strings.Trim(s, ".") == "":
			return "", fmt.Errorf("%w: a segment consists of dots", ErrPath)
		case strings.TrimSpace(s) != s:
			return "", fmt.Errorf("%w: a segment begins or ends with space", ErrPath)
		}
	}
	return path, nil
}

// Allowed reports whether a path that [CleanPath] returned is one of prefixes or below one, segment by segment: "kv/prod" allows "kv/prod" and "kv/prod/db" but not
// "kv/production". A prefix may end with a slash, which means the same. No prefixes allow every path.
func Allowed(path string, prefixes []string) bool {
	if len(prefixes) == 0 {
		return true
	}
	for _, prefix := range prefixes {
		prefix = strings.TrimSuffix(prefix, "/")
		if rest, ok := strings.CutPrefix(path, prefix); ok && prefix != "" && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}
