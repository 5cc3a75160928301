// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// The ETag of an object is its mod revision: strong, and different after every change.
func etag(m store.Meta) string { return `"` + strconv.FormatInt(m.Revision, 10) + `"` }

var errIfMatchRequired = errors.New("If-Match is required")

// tags are the entity tags of a header.
type tags struct {
	any  bool // "*"
	list []string
	weak bool // one of list was weak
}

// parseTags parses If-Match or If-None-Match (RFC 9110, section 8.8.3): "*", or entity tags separated by commas.
func parseTags(header, text string) (tags, error) {
	var t tags
	rest := strings.Trim(text, " \t")
	if rest == "*" {
		return tags{any: true}, nil
	}
	for {
		rest = strings.TrimLeft(rest, " \t")
		if weak, ok := strings.CutPrefix(rest, "W/"); ok {
			t.weak, rest = true, weak
		}
		quoted, ok := strings.CutPrefix(rest, `"`)
		tag, after, closed := strings.Cut(quoted, `"`)
		if !ok || !closed || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return tags{}, parameter(header, "syntax", `it must be * or ETags in double quotes, such as "4711"`)
		}
		t.list = append(t.list, tag)
		rest = strings.TrimLeft(after, " \t")
		if rest == "" {
			return t, nil
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return tags{}, parameter(header, "syntax", "ETags are separated by commas")
		}
	}
}

func (t tags) has(m store.Meta) bool {
	return t.any || slices.Contains(t.list, strconv.FormatInt(m.Revision, 10))
}

// expect returns the revision a change must find, 0 for any, by what If-Match says and what the object is now.
func (s *server) expect(ifMatch *string, now store.Meta) (int64, error) {
	if ifMatch == nil {
		if s.requireIfMatch {
			return 0, errIfMatchRequired
		}
		return 0, nil
	}
	t, err := parseTags("If-Match", *ifMatch)
	switch {
	case err != nil:
		return 0, err
	case t.any:
		return 0, nil
	case t.weak:
		return 0, parameter("If-Match", "weak", `weak ETags (W/"…") match nothing; send the ETag as it came`)
	case !t.has(now):
		return 0, &store.ConflictError{Current: now}
	}
	return now.Revision, nil
}

// known reports whether the caller of a read has the object as it is. For reads, weak and strong tags compare alike.
func known(ifNoneMatch *string, now store.Meta) (bool, error) {
	if ifNoneMatch == nil {
		return false, nil
	}
	t, err := parseTags("If-None-Match", *ifNoneMatch)
	return err == nil && t.has(now), err
}

// checkCreate refuses what creating cannot promise.
func checkCreate(ifNoneMatch *string) error {
	if ifNoneMatch == nil {
		return nil
	}
	if t, err := parseTags("If-None-Match", *ifNoneMatch); err != nil || !t.any {
		return parameter("If-None-Match", "unknown", "creating takes only *")
	}
	return nil
}
