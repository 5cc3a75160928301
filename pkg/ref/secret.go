// SPDX-License-Identifier: Apache-2.0

package ref

import (
	"fmt"
	"strconv"
	"strings"
)

// Scheme begins the value of an ENV that refers to a secret: an inline reference.
const Scheme = "lanyard://"

// Secret refers to a secret, or one version of it, written "lanyard://<organization>/<secret>" or "lanyard://<organization>/<secret>#<version>".
// The zero value is invalid.
type Secret struct {
	Org     string // organization slug
	Name    string
	Version uint64 // pinned; 0 means the active one
}

// String returns the form [ParseSecret] reads.
func (s Secret) String() string {
	if s.Version == 0 {
		return Scheme + s.Path()
	}
	return Scheme + s.Path() + "#" + strconv.FormatUint(s.Version, 10)
}

// Path is <organization>/<secret>, without a version.
func (s Secret) Path() string { return s.Org + "/" + s.Name }

// IsInline reports whether the value of an ENV is an inline reference, or was meant as one.
func IsInline(value string) bool { return strings.HasPrefix(value, Scheme) }

// ParseSecret parses an inline reference. It takes one spelling of each: no white space, no escapes, no leading zeros.
func ParseSecret(text string) (Secret, error) {
	path, found := strings.CutPrefix(text, Scheme)
	if !found {
		return Secret{}, fmt.Errorf("%w: secret reference %q must begin with %s", ErrSyntax, clip(text), Scheme)
	}
	path, version, pinned := strings.Cut(path, "#")
	org, name, found := strings.Cut(path, "/")
	if !found {
		return Secret{}, fmt.Errorf("%w: secret reference %q must be %s<organization>/<secret>, with #<version> if one is pinned", ErrSyntax, clip(text), Scheme)
	}
	if err := CheckSlug(org); err != nil {
		return Secret{}, fmt.Errorf("secret reference %q: %w", clip(text), err)
	}
	if err := CheckName(name); err != nil {
		return Secret{}, fmt.Errorf("secret reference %q: %w", clip(text), err)
	}
	s := Secret{Org: org, Name: name}
	if !pinned {
		return s, nil
	}
	number, err := strconv.ParseUint(version, 10, 63)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != version {
		return Secret{}, fmt.Errorf("%w: secret reference %q: the version after # must be a number from 1 on", ErrSyntax, clip(text))
	}
	s.Version = number
	return s, nil
}
