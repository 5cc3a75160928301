// SPDX-License-Identifier: Apache-2.0

// Package output prints objects in the formats of --output. JSON and YAML are those of the API; tables are for people, and what they hold comes from
// others, so control characters are written as escapes.
package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// Format is a way of printing. The zero Format is a table.
type Format struct {
	name string
	path *jsonpath.JSONPath // with jsonpath
}

// ParseFormat reads the text of --output.
func ParseFormat(text string) (Format, error) {
	switch text {
	case "table", "wide", "json", "yaml", "name", "etag":
		return Format{name: text}, nil
	}
	template, ok := strings.CutPrefix(text, "jsonpath=")
	if !ok {
		return Format{}, errors.New("it must be table, wide, json, yaml, name, etag or jsonpath=<template>")
	}
	path := jsonpath.New("output").AllowMissingKeys(true)
	if err := path.Parse(template); err != nil {
		return Format{}, fmt.Errorf("the JSONPath template cannot be read: %w", err)
	}
	return Format{name: "jsonpath", path: path}, nil
}

// View is how objects of one kind look.
type View[T any] struct {
	Kind    string // before the slash of -o name
	Name    func(T) string
	Columns []Column[T]
}

// Column is one column of a table.
type Column[T any] struct {
	Header string
	Wide   bool // only shown by -o wide
	Cell   func(T) string
}

// Printer prints to Out.
type Printer struct {
	Out       io.Writer
	Format    Format
	NoHeaders bool
}

// One prints a single object and, where the format shows it, its entity tag; etag may be empty.
func One[T any](p Printer, v View[T], item T, etag string) error {
	switch p.Format.name {
	case "etag":
		if etag == "" {
			return errors.New("printing the ETag: the registry answered none")
		}
		_, err := fmt.Fprintln(p.Out, etag)
		return err
	case "", "table", "wide", "name":
	default:
		return p.document(item)
	}
	if p.Format.name == "wide" && etag != "" {
		v.Columns = append(v.Columns[:len(v.Columns):len(v.Columns)], Column[T]{"ETAG", true, func(T) string { return etag }})
	}
	return list(p, v, []T{item})
}

// List prints several objects.
func List[T any](p Printer, v View[T], items []T) error {
	switch p.Format.name {
	case "etag":
		return errors.New("printing the ETag: a list has none")
	case "", "table", "wide", "name":
		return list(p, v, items)
	}
	if items == nil {
		items = []T{}
	}
	return p.document(map[string]any{"items": items})
}

func list[T any](p Printer, v View[T], items []T) error {
	if p.Format.name == "name" {
		for _, item := range items {
			if _, err := fmt.Fprintf(p.Out, "%s/%s\n", v.Kind, Printable(v.Name(item))); err != nil {
				return err
			}
		}
		return nil
	}
	return table(p, v, items)
}

func (p Printer) document(content any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(content); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	switch p.Format.name {
	case "yaml":
		text, err := yaml.JSONToYAML(b.Bytes())
		if err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
		_, err = p.Out.Write(text)
		return err
	case "jsonpath":
		var decoded any
		if err := json.Unmarshal(b.Bytes(), &decoded); err != nil {
			return fmt.Errorf("decoding the answer: %w", err)
		}
		if err := p.Format.path.Execute(p.Out, decoded); err != nil {
			return fmt.Errorf("executing the JSONPath template: %w", err)
		}
		return nil
	}
	_, err := p.Out.Write(b.Bytes())
	return err
}
