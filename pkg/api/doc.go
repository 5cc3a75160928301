// SPDX-License-Identifier: Apache-2.0

// Package api is the contract of the administrators' API: its OpenAPI document, the types generated from it, and a client.
//
// openapi.yaml comes first. The models and the client here and the server in registry/api/ginapi are generated from it:
//
//	go generate ./pkg/api
//
// A client comes from [New]. Its methods return one response object for each operation with the decoded answer in a field named after the status; [Check]
// turns an answer that is not a success into a [*Problem], which is an error that compares with the codes of the catalogue:
//
//	c, err := api.New("https://lanyard.example", token)
//	resp, err := c.GetSecretWithResponse(ctx, "acme", "stripe-api-key", nil)
//	if err := api.Check(resp, err); errors.Is(err, api.CodeNotFound) { … }
//	secret := resp.JSON200
//
// No operation returns the value of a secret. Generated types hold values that are sent as plain strings; drop them as soon as they are sent.
package api

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config models.codegen.yaml openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config client.codegen.yaml openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config server.codegen.yaml openapi.yaml

import _ "embed" // the document

// Document is the OpenAPI document in YAML.
//
//go:embed openapi.yaml
var Document []byte
