// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/strictjson"
)

// maxProblems bounds the list of an answer; whoever has more starts with these.
const maxProblems = 50

// schemaProblems says what a schema error means: where, which rule, and the fix, all of it from the schema and none of it from what was sent, but for the
// names of fields that are not known.
func schemaProblems(err error) []contract.FieldProblem {
	var all []contract.FieldProblem
	var walk func(error)
	walk = func(err error) {
		if several, ok := err.(openapi3.MultiError); ok { //nolint:errorlint // a list is walked, not searched
			for _, e := range several {
				walk(e)
			}
			return
		}
		e, ok := errors.AsType[*openapi3.SchemaError](err)
		if !ok {
			all = append(all, contract.FieldProblem{Code: "syntax", Message: "it does not have the form the document asks for"})
			return
		}
		all = append(all, schemaProblem(e)...)
	}
	if err != nil {
		walk(err)
	}
	slices.SortFunc(all, func(a, b contract.FieldProblem) int {
		return strings.Compare(a.Pointer+" "+a.Code, b.Pointer+" "+b.Code)
	})
	all = slices.CompactFunc(all, func(a, b contract.FieldProblem) bool {
		return a.Pointer == b.Pointer && a.Code == b.Code
	})
	return all[:min(len(all), maxProblems)]
}

func schemaProblem(e *openapi3.SchemaError) []contract.FieldProblem {
	path := e.JSONPointer()
	if e.SchemaField == "properties" {
		return unknownFields(e, path)
	}
	code, message := rule(e.Schema, e.SchemaField)
	return []contract.FieldProblem{{Pointer: strictjson.Pointer(path...), Code: code, Message: message}}
}

// rule names the rule of a schema that was broken.
func rule(s *openapi3.Schema, keyword string) (code, message string) {
	switch keyword {
	case "required":
		return "required", "it is required"
	case "type":
		return "type", "it must be of type " + strings.Join(s.Type.Slice(), " or ")
	case "nullable":
		return "type", "it may not be null; leave it out to leave it as it is"
	case "enum":
		return "unknown", fmt.Sprintf("it must be one of %v", s.Enum)
	case "minLength":
		return "required", "it may not be empty"
	case "maxLength":
		return "too_long", fmt.Sprintf("it may have %d characters", *s.MaxLength)
	case "pattern":
		return "syntax", "it must match " + s.Pattern
	case "format":
		if s.Format == "date-time" {
			return "syntax", "it must be a time in the form of 2026-01-31T12:00:00Z"
		}
		return "range", "it must be of format " + s.Format
	case "minimum":
		return "range", fmt.Sprintf("it must be at least %v", *s.Min)
	case "maximum":
		return "range", fmt.Sprintf("it may be at most %v", *s.Max)
	case "maxItems":
		return "too_many", fmt.Sprintf("there may be %d", *s.MaxItems)
	case "maxProperties":
		return "too_many", fmt.Sprintf("there may be %d", *s.MaxProps)
	case "minProperties":
		return "required", "at least one field is required"
	}
	return "syntax", "it does not have the form the document asks for"
}

// unknownFields names the fields of an object that its schema does not have.
func unknownFields(e *openapi3.SchemaError, path []string) []contract.FieldProblem {
	object, _ := e.Value.(map[string]any)
	known := slices.Sorted(maps.Keys(e.Schema.Properties))
	var all []contract.FieldProblem
	for name := range object {
		if _, ok := e.Schema.Properties[name]; !ok {
			pointer := strictjson.Pointer(append(slices.Clone(path), name)...)
			all = append(all, contract.FieldProblem{Pointer: pointer, Code: "unknown_field", Message: "there is no such field here; there are " + strings.Join(known, ", ")})
		}
	}
	return all
}

// parameterProblems says what is wrong with a parameter.
func parameterProblems(name string, err error) invalid {
	e, ok := errors.AsType[*openapi3.SchemaError](err)
	if several, found := errors.AsType[openapi3.MultiError](err); found && !ok {
		for _, one := range several {
			if e, ok = errors.AsType[*openapi3.SchemaError](one); ok {
				break
			}
		}
	}
	if !ok {
		return parameter(name, "syntax", "it does not have the form the document asks for")
	}
	code, message := rule(e.Schema, e.SchemaField)
	return parameter(name, code, "%s", message)
}
