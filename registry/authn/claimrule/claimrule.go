// SPDX-License-Identifier: Apache-2.0

// Package claimrule says which ID tokens a trust rule means: those whose claims equal a text, or match one with '*' in it. It does no I/O and reads no clock.
//
// A rule must say whose jobs it means: an issuer such as a forge signs for everybody who has an account there. So one of its claims identifies the job or its
// repository (sub, repository, project_path, …), and a '*' in such a claim comes after the part that names the owner.
//
// A '*' at the end stands for whatever follows, at least one character. One before the end stands for at least one character without ':' and '/', so that what one
// part of a subject says, a branch or an environment that somebody may name as they like, is not taken for another part.
package claimrule

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Limits of a rule.
const (
	MaxClaims = 16
	MaxName   = 128
	MaxValue  = 512
)

// Error is the first rule of this package that claims break. Claim is empty if it is about all of them.
type Error struct {
	Claim, Code, Message string
}

func (e *Error) Error() string {
	if e.Claim == "" {
		return "claims: " + e.Message
	}
	return "claim " + e.Claim + ": " + e.Message
}

// identifying are claims that name a job, its repository or the repository's owner, with how many separators (':' or '/') must stand before a '*'; -1 allows none.
var identifying = map[string]int{
	"sub": 2, // repo:<owner>/…, project_path:<group>/…, organization:<owner>:…, org/<id>/…
	// GitHub's
	"repository": 1, "repository_id": -1, "repository_owner": -1, "repository_owner_id": -1,
	// GitLab's
	"project_path": 1, "project_id": -1, "namespace_path": 1, "namespace_id": -1,
}

// checked are claims that are looked at whatever a rule says.
var checked = []string{"iss", "aud", "exp", "iat", "nbf", "jti"}

// Check returns an *[Error] unless claims, name to text, are a rule.
func Check(claims map[string]string) error {
	if len(claims) > MaxClaims {
		return &Error{Code: "too_many", Message: "there may be 16 claims"}
	}
	identified := false
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if err := check(name, claims[name]); err != nil {
			return err
		}
		_, identifies := identifying[name]
		identified = identified || identifies
	}
	if !identified {
		return &Error{Code: "required", Message: "they must say whose jobs are meant, by " + strings.Join(slices.Sorted(maps.Keys(identifying)), ", ") + ": an issuer signs for everybody who has an account there"}
	}
	return nil
}

func check(name, text string) error {
	fault := func(code, message string) error { return &Error{Claim: name, Code: code, Message: message} }
	switch {
	case name == "" || len(name) > MaxName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fault("syntax", "the name of a claim has 1 to 128 printable ASCII characters and no blanks")
	case slices.Contains(checked, name):
		return fault("reserved", "it is checked whatever a rule says")
	case text == "":
		return fault("required", "say what it must be")
	case len(text) > MaxValue || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return fault("syntax", "it has 1 to 512 printable ASCII characters")
	}
	literal, _, wild := strings.Cut(text, "*")
	if !wild {
		return nil
	}
	if literal == "" {
		return fault("syntax", "a * comes after something that is meant literally")
	}
	if strings.Contains(text, "**") {
		return fault("syntax", "one * is enough: at the end it stands for whatever follows")
	}
	need, identifies := identifying[name]
	if !identifies {
		return nil
	}
	if strings.HasPrefix(literal, "system:serviceaccount:") { // Kubernetes: the owner is the namespace
		need = 3
	}
	if have := strings.Count(literal, ":") + strings.Count(literal, "/"); need < 0 || have < need {
		return fault("too_wide", "a * here would mean the jobs of others too: write out at least whose they are, as in repo:acme/*")
	}
	return nil
}

// Match reports whether the claims of a token, as JSON decodes them with numbers kept, are what a rule means. If not, claim is the first one, by name, that is not.
// Texts, booleans and numbers are compared as JSON writes them; anything else matches nothing. A rule without claims matches nothing.
func Match(rule map[string]string, claims map[string]any) (claim string, ok bool) {
	if len(rule) == 0 {
		return "sub", false
	}
	for _, name := range slices.Sorted(maps.Keys(rule)) {
		text, comparable := textOf(claims[name])
		if !comparable || !matches(rule[name], text) {
			return name, false
		}
	}
	return "", true
}

func textOf(claim any) (string, bool) {
	switch c := claim.(type) {
	case string:
		return c, true
	case bool:
		if c {
			return "true", true
		}
		return "false", true
	case json.Number:
		return c.String(), true
	}
	return "", false
}

// matches reports whether a text is of a pattern. Taking the first place where the next literal part follows is enough: where a later one could do, nothing between the two is a ':' or '/',
// so that the next '*' can stand for it.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	rest, found := strings.CutPrefix(text, parts[0])
	if len(parts) == 1 {
		return text == pattern
	}
	if !found {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		if rest == "" {
			return false
		}
		at := strings.Index(rest[1:], part) + 1 // a '*' stands for one character at least
		if at == 0 || separated(rest[:at]) {
			return false
		}
		rest = rest[at+len(part):]
	}
	last := parts[len(parts)-1]
	if last == "" {
		return rest != ""
	}
	part, ok := strings.CutSuffix(rest, last)
	return ok && part != "" && !separated(part)
}

// separated reports whether a text is more than a part of a subject.
func separated(text string) bool { return strings.ContainsAny(text, ":/") }
