// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"regexp"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"github.com/lanyard-dev/lanyard/internal/bundle"
	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Body limits. JSON can spend six bytes on one (\u0001), so each is six times the longest text its operation takes, and room for the rest.
const (
	maxBody = 512 << 10 // a value of 64 KiB, a description, labels
	// A provider holds a bundle of certificates, whose line ends JSON doubles, and credentials.
	maxProviderBody = 2 * (store.MaxConfigBytes + store.MaxCredentials)
	// A consumer holds up to 1 MiB of plain values, and names and bindings.
	maxConsumerBody = 6*store.MaxConsumerBytes + 1<<20
	maxBatchBody    = 6*store.MaxBatchBytes + 1<<20
	// A file to import is text, of which JSON makes at most twice as much, or base64.
	maxImportBody = 2*bundle.MaxBytes + 64<<10
)

// operation is one operation of the document.
type operation struct {
	id        string
	rule      authz.Rule
	route     *routers.Route
	params    openapi3.Parameters // of the path and of the operation
	body      *openapi3.Schema    // of application/json; nil if the operation takes none
	bodyLimit int64
	once      bool // takes an Idempotency-Key
}

// operations are the operations of a document.
type operations map[string]*operation // :: "<method> <pattern of Gin>" → operation

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// ginPattern returns the pattern of a path of the document as Gin writes it.
func ginPattern(path string) string { return placeholder.ReplaceAllString(path, ":$1") }

// loadDocument parses the document of package pkg/api and returns it with its operations.
func loadDocument() (*openapi3.T, operations, error) {
	doc, err := openapi3.NewLoader().LoadFromData(contract.Document)
	if err != nil {
		return nil, nil, fmt.Errorf("loading OpenAPI document: %w", err)
	}
	ops := make(operations)
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			op := &operation{
				id:        o.OperationID,
				rule:      authz.Rules[o.OperationID], // the zero rule allows nobody
				route:     &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: o},
				params:    append(append(openapi3.Parameters{}, item.Parameters...), o.Parameters...),
				bodyLimit: maxBody,
			}
			if o.RequestBody != nil {
				op.body = o.RequestBody.Value.Content.Get("application/json").Schema.Value
			}
			switch op.id {
			case "createProvider", "updateProvider":
				op.bodyLimit = maxProviderBody
			case "putSecrets":
				op.bodyLimit = maxBatchBody
			case "importSecrets":
				op.bodyLimit = maxImportBody
			case "createConsumer", "replaceConsumer", "updateConsumer":
				op.bodyLimit = maxConsumerBody
			}
			op.once = op.params.GetByInAndName(openapi3.ParameterInHeader, keyHeader) != nil
			ops[method+" "+ginPattern(path)] = op
		}
	}
	return doc, ops, nil
}
