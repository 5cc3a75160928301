// SPDX-License-Identifier: Apache-2.0

// Package ref is the grammar of names: what organizations, secrets, consumers and environment variables may be called, and how one refers to another.
//
// Text is parsed once, where it enters; everything behind holds the parsed form. Errors say which rule was broken and quote the text, which is a name
// and never a value.
package ref

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of names, in bytes. They bound etcd keys (an organization id, a kind and one name stay under 300 bytes) and fit Kubernetes label values where
// a name may be used as one.
const (
	MaxSlug    = 63  // a DNS label, so that an organization can be part of a host name
	MaxName    = 128 // secrets, consumers, providers
	MaxEnvName = 128 // far above what people write; keeps a pod patch small
)

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("malformed name")

// Consumer refers to a consumer of secrets within an organization, written "<organization>/<consumer>".
// The zero value is invalid.
type Consumer struct {
	Org  string // organization slug
	Name string
}

// String returns the form [ParseConsumer] reads.
func (c Consumer) String() string { return c.Org + "/" + c.Name }

// ParseConsumer parses "<organization>/<consumer>".
func ParseConsumer(text string) (Consumer, error) {
	org, name, found := strings.Cut(text, "/")
	if !found {
		return Consumer{}, fmt.Errorf("%w: consumer reference %q must be <organization>/<consumer>", ErrSyntax, clip(text))
	}
	if err := CheckSlug(org); err != nil {
		return Consumer{}, fmt.Errorf("consumer reference %q: %w", clip(text), err)
	}
	if err := CheckName(name); err != nil {
		return Consumer{}, fmt.Errorf("consumer reference %q: %w", clip(text), err)
	}
	return Consumer{Org: org, Name: name}, nil
}

// CheckSlug reports why text cannot be an organization's slug: 1 to [MaxSlug] of a-z, 0-9 and '-', beginning and ending with a letter or digit.
func CheckSlug(text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%w: organization slug is empty", ErrSyntax)
	case len(text) > MaxSlug:
		return fmt.Errorf("%w: organization slug %q is longer than %d bytes", ErrSyntax, clip(text), MaxSlug)
	}
	for i := range len(text) {
		c := text[i]
		if isLower(c) || isDigit(c) || c == '-' && i > 0 && i < len(text)-1 {
			continue
		}
		return fmt.Errorf("%w: organization slug %q may hold a-z, 0-9 and '-' (not first or last)", ErrSyntax, clip(text))
	}
	return nil
}

// CheckName reports why text cannot name a secret, consumer or provider: 1 to [MaxName] of letters, digits, '.', '_' and '-', beginning with a letter
// or digit. Names are compared byte for byte: "A" and "a" differ.
func CheckName(text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%w: name is empty", ErrSyntax)
	case len(text) > MaxName:
		return fmt.Errorf("%w: name %q is longer than %d bytes", ErrSyntax, clip(text), MaxName)
	}
	for i := range len(text) {
		c := text[i]
		if isLetter(c) || isDigit(c) || i > 0 && (c == '.' || c == '_' || c == '-') {
			continue
		}
		return fmt.Errorf("%w: name %q may hold letters, digits, '.', '_' and '-', and begins with a letter or digit", ErrSyntax, clip(text))
	}
	return nil
}

// CheckEnvName reports why text cannot be the name of an environment variable of a consumer: a POSIX name ([A-Za-z_][A-Za-z0-9_]*) of at most
// [MaxEnvName] bytes that is not reserved.
//
// Reserved are names that would change how the container itself, its dynamic loader or our own agent works. They are refused, never dropped.
func CheckEnvName(text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%w: ENV name is empty", ErrSyntax)
	case len(text) > MaxEnvName:
		return fmt.Errorf("%w: ENV name %q is longer than %d bytes", ErrSyntax, clip(text), MaxEnvName)
	}
	for i := range len(text) {
		c := text[i]
		if isLetter(c) || c == '_' || i > 0 && isDigit(c) {
			continue
		}
		return fmt.Errorf("%w: ENV name %q may hold letters, digits and '_', and does not begin with a digit", ErrSyntax, clip(text))
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(text, prefix) {
			return fmt.Errorf("%w: ENV name %q is reserved: names beginning with %s belong to %s", ErrSyntax, text, prefix, reservedFor[prefix])
		}
	}
	if owner, reserved := reservedFor[text]; reserved {
		return fmt.Errorf("%w: ENV name %q is reserved: it belongs to %s", ErrSyntax, text, owner)
	}
	return nil
}

// reservedPrefixes are the keys of reservedFor that stand for every name beginning with them.
var reservedPrefixes = []string{"LANYARD_", "LD_", "KUBERNETES_"}

var reservedFor = map[string]string{ // :: name or prefix → who owns it
	"LANYARD_":    "the init agent",
	"LD_":         "the dynamic loader",
	"KUBERNETES_": "the kubelet",
	"PATH":        "the container image",
	"HOME":        "the container image",
	"HOSTNAME":    "the container runtime",
	"IFS":         "the shell",
}

// clip keeps hostile text out of messages: quoted names are cut where no valid name could still go on.
func clip(text string) string {
	const limit = MaxSlug + 1 + MaxName
	if len(text) > limit {
		return text[:limit] + "…"
	}
	return text
}

func isLower(c byte) bool  { return 'a' <= c && c <= 'z' }
func isLetter(c byte) bool { return isLower(c) || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
