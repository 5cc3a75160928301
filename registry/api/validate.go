// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/gin-gonic/gin"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
)

// validator refuses requests that are not what the document says. Messages are made from the rule that was broken: the library's own would quote the value.
func validator(document *openapi3.T) (gin.HandlerFunc, error) {
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	options := &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true}
	return func(c *gin.Context) {
		route, parameters, err := router.FindRoute(c.Request)
		if err != nil {
			if !errors.Is(err, routers.ErrPathNotFound) && !errors.Is(err, routers.ErrMethodNotAllowed) {
				refuse(c, fmt.Errorf("finding the route in the OpenAPI document: %w", err))
			}
			return // not described: the document itself, or NoRoute answers
		}
		err = openapi3filter.ValidateRequest(c.Request.Context(), &openapi3filter.RequestValidationInput{
			Request: c.Request, PathParams: parameters, Route: route, Options: options,
		})
		if err == nil {
			return
		}
		refusal := &refusal{kind: kindValidation, detail: "the request is not what the OpenAPI document describes"}
		collect(err, "", &refusal.errors)
		if len(refusal.errors) == 1 {
			refusal.detail = refusal.errors[0].Pointer + ": " + refusal.errors[0].Message
		}
		refuse(c, refusal)
	}, nil
}

// unknownField finds the name in the library's reason. Only what looks like one of our names is repeated: a field's name comes from the caller too.
var unknownField = regexp.MustCompile(`^property "([a-z][a-z0-9_]{0,31})" is unsupported`)

// maxFieldProblems keeps the answer to a hostile body small.
const maxFieldProblems = 20

// collect turns the library's tree of errors into a list of fields.
func collect(err error, parameter string, into *[]FieldProblem) {
	if len(*into) >= maxFieldProblems {
		return
	}
	var (
		many    openapi3.MultiError
		request *openapi3filter.RequestError
		schema  *openapi3.SchemaError
	)
	switch {
	case errors.As(err, &request) && request.Parameter != nil && parameter == "":
		parameter = request.Parameter.In + " parameter " + request.Parameter.Name
		if request.Err == nil {
			*into = append(*into, FieldProblem{Pointer: parameter, Code: "syntax", Message: "it cannot be read"})
			return
		}
		collect(request.Err, parameter, into)
	case errors.As(err, &many):
		for _, e := range many {
			collect(e, parameter, into)
		}
	case errors.As(err, &schema):
		*into = append(*into, fieldProblem(schema, parameter))
	case parameter != "":
		*into = append(*into, FieldProblem{Pointer: parameter, Code: "syntax", Message: "it cannot be read"})
	case request != nil:
		*into = append(*into, FieldProblem{Pointer: "/", Code: "required", Message: "a JSON body is needed, and only where the document has one"})
	}
}

func fieldProblem(err *openapi3.SchemaError, parameter string) FieldProblem {
	pointer := "/" + strings.Join(err.JSONPointer(), "/")
	if parameter != "" {
		pointer = parameter
	}
	code, message := "invalid", "it breaks the rule "+err.SchemaField+" of the OpenAPI document"
	schema := err.Schema
	switch err.SchemaField {
	case "required":
		code, message = "required", "it is required"
	case "properties", "additionalProperties":
		code, message = "unknown", "it has a field that does not exist"
		if name := unknownField.FindStringSubmatch(err.Reason); name != nil {
			message = "there is no field " + name[1]
		}
	case "type":
		code = "type"
		if schema != nil && schema.Type != nil {
			message = "it must be of type " + strings.Join(schema.Type.Slice(), " or ")
		}
	case "enum":
		code, message = "unknown", fmt.Sprintf("it must be one of %v", schema.Enum)
	case "maxLength":
		code, message = "too_long", fmt.Sprintf("it may have %d characters", *schema.MaxLength)
	case "minLength":
		code, message = "required", "it is empty"
	case "maxItems":
		code, message = "too_many", fmt.Sprintf("there may be %d", *schema.MaxItems)
	case "maxProps", "maxProperties":
		code, message = "too_many", fmt.Sprintf("there may be %d", *schema.MaxProps)
	case "maximum", "minimum":
		code, message = "out_of_range", "the number is out of range"
	case "format":
		code, message = "syntax", "it must have the format "+schema.Format
	case "nullable":
		code, message = "type", "it may not be null; leave it out"
	}
	return FieldProblem{Pointer: pointer, Code: code, Message: message}
}
