// SPDX-License-Identifier: Apache-2.0

// Package bundle reads files that hold several named values: .env files, JSON objects and Kubernetes Secrets.
//
// A value comes out as its author wrote it, to the byte, or the file is refused. Nothing is expanded, converted or trimmed by guess, and of two values of one
// name neither wins. Errors name lines and names, never what stands there: a value may be on that line.
package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// Item is one named value.
type Item struct {
	Name  string
	Value redact.Value
	// Note is set when another program would read the file differently. It does not repeat the value.
	Note string
}

// MaxBytes bounds a file: a thousand secrets of a KiB.
const MaxBytes = 4 << 20

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("cannot be read")

// Format is the kind of a file.
type Format string

// The formats.
const (
	Auto       Format = "auto" // a JSON object, a Kubernetes Secret or, if neither, a .env file
	Dotenv     Format = "dotenv"
	JSON       Format = "json"
	Kubernetes Format = "kubernetes"
)

// Formats lists all of them.
var Formats = []Format{Auto, Dotenv, JSON, Kubernetes}

// Parse reads content. The items are in the order of the file, except that those of a Kubernetes Secret are in the order of their names.
func Parse(content []byte, format Format) ([]Item, error) {
	if len(content) > MaxBytes {
		return nil, refuse("it has more than %d bytes", MaxBytes)
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) // a byte order mark is no part of the first name
	if format == Auto {
		format = guess(content)
	}
	switch format {
	case Dotenv:
		return parseDotenv(content)
	case JSON:
		return parseJSON(content)
	case Kubernetes:
		return parseKubernetes(content)
	}
	return nil, refuse("there is no format %q", format)
}

var secretKind = regexp.MustCompile(`(?m)^\s*"?kind"?\s*:\s*"?(Secret|List|SecretList)"?\s*,?\s*$|"kind"\s*:\s*"(Secret|List|SecretList)"`)

func guess(content []byte) Format {
	switch {
	case secretKind.Match(content):
		return Kubernetes
	case bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")):
		return JSON
	}
	return Dotenv
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSyntax, fmt.Errorf(format, args...))
}

// list collects items and refuses a name that comes again.
type list struct {
	items []Item
	seen  map[string]bool
}

func (l *list) add(name string, value []byte, note string) error {
	if l.seen[name] {
		return refuse("%q stands there twice", name)
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[name] = true
	l.items = append(l.items, Item{name, redact.New(value), note})
	return nil
}
