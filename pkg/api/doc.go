// SPDX-License-Identifier: Apache-2.0

// Package api is the administrators' API: its document, and the types and client generated from it.
package api

import _ "embed"

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config models.oapi.yaml openapi.yaml

// Document is the OpenAPI document, as YAML. The registry serves it at /openapi.yaml.
//
//go:embed openapi.yaml
var Document []byte
