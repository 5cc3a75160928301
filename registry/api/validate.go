// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/gin-gonic/gin"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/strictjson"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// schemaOptions make kin-openapi tell everything that is wrong. Its own texts are not used, see [schemaProblems]; they are cut down all the same, so that an
// error that gets anywhere by mistake holds no value.
var schemaOptions = []openapi3.SchemaValidationOption{
	openapi3.MultiErrors(), openapi3.VisitAsRequest(), openapi3.DisableSchemaErrorDetails(),
	openapi3.SetSchemaErrorMessageCustomizer(func(e *openapi3.SchemaError) string { return e.SchemaField }),
}

// validate checks a request against the document, and leaves its body to be read again. It wipes its copy of the body at the end of the request.
func (s *server) validate(c *gin.Context) {
	call := callOf(c.Request.Context())
	if err := checkParameters(c, call.operation); err != nil {
		s.refuse(c, err)
		return
	}
	if call.operation.body == nil {
		if n, _ := io.ReadFull(c.Request.Body, make([]byte, 1)); n > 0 {
			s.refuse(c, field("", "unknown_field", "this operation takes no body"))
			return
		}
		call.once = onceOf(c.Request, call, nil)
		return
	}
	if !isJSON(c.Request) {
		s.fail(c, contract.CodeUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(c.Request.Body)
	defer clear(body[:cap(body)])
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			s.fail(c, contract.CodeTooLarge)
			return
		}
		s.refuse(c, field("", "syntax", "the body could not be read to its end"))
		return
	}
	if err := checkBody(body, call.operation.body); err != nil {
		s.refuse(c, err)
		return
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	call.once = onceOf(c.Request, call, body)
	c.Next()
}

// isJSON reports whether the headers say that the body is plain JSON.
func isJSON(r *http.Request) bool {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, ok := params["charset"]
	encoding := r.Header.Get("Content-Encoding")
	return err == nil && media == "application/json" && (!ok || strings.EqualFold(charset, "utf-8")) && (encoding == "" || encoding == "identity")
}

func checkBody(body []byte, schema *openapi3.Schema) error {
	if err := strictjson.Check(body); err != nil {
		if e, ok := errors.AsType[*strictjson.Error](err); ok {
			return field(e.Pointer, e.Code, "%s", e.Message)
		}
		return err
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return field("", "syntax", "a number is too large") // all that is left after Check
	}
	if problems := schemaProblems(schema.VisitJSON(v, schemaOptions...)); len(problems) > 0 {
		return invalid(problems)
	}
	return nil
}

func checkParameters(c *gin.Context, op *operation) error {
	query, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return field("", "syntax", "the query is not in the form name=value&…, with %%XX for special characters")
	}
	path := make(map[string]string, len(c.Params))
	for _, p := range c.Params {
		path[p.Key] = p.Value
	}
	input := &openapi3filter.RequestValidationInput{
		Request: c.Request, PathParams: path, QueryParams: query, Route: op.route,
		Options: &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true, SchemaValidationOptions: schemaOptions},
	}
	var problems invalid
	for _, ref := range op.params {
		p := ref.Value
		err := openapi3filter.ValidateParameter(c.Request.Context(), input, p)
		switch {
		case err == nil && p.In == openapi3.ParameterInQuery && len(query[p.Name]) > 1 && !p.Schema.Value.Type.Is(openapi3.TypeArray):
			problems = append(problems, parameter(p.Name, "duplicate", "it is given twice")...)
		case err == nil && p.In == openapi3.ParameterInHeader && len(c.Request.Header.Values(p.Name)) > 1:
			problems = append(problems, parameter(p.Name, "duplicate", "the header is given twice; separate its members by commas")...)
		case err == nil:
		case p.In == openapi3.ParameterInPath:
			return store.ErrNotFound // no object has such a name
		default:
			problems = append(problems, parameterProblems(p.Name, err)...)
		}
	}
	for name := range query {
		if !slices.ContainsFunc(op.params, func(r *openapi3.ParameterRef) bool {
			return r.Value.In == openapi3.ParameterInQuery && r.Value.Name == name
		}) {
			problems = append(problems, field("", "unknown_parameter", "the query has a parameter that this operation does not know; it knows: %s", queryNames(op))...)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func queryNames(op *operation) string {
	var names []string
	for _, ref := range op.params {
		if ref.Value.In == openapi3.ParameterInQuery {
			names = append(names, ref.Value.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
