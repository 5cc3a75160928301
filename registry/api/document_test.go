// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/lanyard-dev/lanyard/internal/bundle"
	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestTheServedDocumentIsValid(t *testing.T) {
	w := &world{t: t}
	w.serve(failing{})
	a := w.do("GET", "/openapi.json", "", "Authorization", "") // for anyone
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// What a reader of the document is promised about every operation.
func TestEveryOperationIsDescribed(t *testing.T) {
	doc, operations, err := api.LoadDocument()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s %s lacks an id, a summary or a tag", method, path)
			}
			if d := op.Responses.Default(); d == nil || d.Ref != "#/components/responses/Problem" {
				t.Errorf("%s has no problem as its default answer", op.OperationID)
			}
			has := func(name string) bool {
				return slices.ContainsFunc(op.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == name })
			}
			creates := map[string]bool{"createOrganization": true, "createSecret": true, "createProvider": true, "createConsumer": true, "addMember": true, "addAdministrator": true, "createInvitation": true, "createToken": true, "createFederation": true}[op.OperationID]
			changesNothing := op.OperationID == "checkSecret" || op.OperationID == "testProvider"
			changesNothing = changesNothing || op.OperationID == "explain"
			changesNothing = changesNothing || op.OperationID == "putSecrets" || op.OperationID == "importSecrets"      // they change many objects, or none
			changesNothing = changesNothing || op.OperationID == "stopWorkload" || op.OperationID == "stopWorkloads"    // pods have no ETag
			changesNothing = changesNothing || op.OperationID == "revokeSession" || op.OperationID == "revokeSessionOf" // there is nothing to have read before
			changesNothing = changesNothing || op.OperationID == "acceptInvitation"                                     // whose holder has not read it
			if method != "GET" && !changesNothing && !has("If-Match") && !(creates && has("If-None-Match")) {
				t.Errorf("%s takes no If-Match", op.OperationID)
			}
			if method == "GET" && strings.HasPrefix(op.OperationID, "list") && op.OperationID != "listVersions" && op.OperationID != "listReferences" && op.OperationID != "listDeletions" && op.OperationID != "listSessions" && op.OperationID != "listSessionsOf" && !(has("page_size") && has("page_token")) {
				t.Errorf("%s has no pages", op.OperationID)
			}
			if op.RequestBody != nil && (!op.RequestBody.Value.Required || op.RequestBody.Value.Content.Get("application/json") == nil) {
				t.Errorf("%s takes another body than JSON", op.OperationID)
			}
		}
	}
	if len(operations) == 0 {
		t.Error("no operations")
	}
}

// Requests are closed and answers hold no value; the limits are those of the packages that enforce them.
func TestSchemasKeepTheirPromises(t *testing.T) {
	doc := document()
	schemas := doc.Components.Schemas
	requests := []string{"OrganizationCreate", "OrganizationUpdate", "SecretCreate", "SecretUpdate", "VersionCreate", "Generate", "SecretBatch", "BatchSecret", "SecretImport", "ProviderCreate", "ProviderUpdate", "ConsumerCreate", "ConsumerUpdate", "Env", "Binding", "MemberCreate", "MemberUpdate", "APITokenCreate", "Question", "QuestionContainer", "QuestionInline"}
	for _, name := range requests {
		if more := schemas[name].Value.AdditionalProperties.Has; more == nil || *more {
			t.Errorf("%s takes any field", name)
		}
	}
	for _, name := range []string{"SecretValue", "SecretValueBase64"} {
		if !schemas[name].Value.WriteOnly {
			t.Errorf("%s is not writeOnly", name)
		}
	}
	for name, s := range schemas {
		for field, property := range s.Value.Properties {
			if field == "credentials" && !property.Value.WriteOnly {
				t.Errorf("%s.%s is not writeOnly", name, field)
			}
			if isValue := strings.HasPrefix(field, "value"); isValue && name != "Env" && !property.Value.WriteOnly {
				t.Errorf("%s.%s is not writeOnly", name, field)
			}
			if property.Value.WriteOnly && !slices.Contains(requests, name) {
				t.Errorf("%s is in an answer and has the value %s", name, field)
			}
		}
	}
	length := func(schema, field string) uint64 {
		s := schemas[schema].Value
		if field != "" {
			s = s.Properties[field].Value
		}
		if s.MaxLength == nil {
			t.Errorf("%s %s has no limit", schema, field)
			return 0
		}
		return *s.MaxLength
	}
	for name, pair := range map[string][2]uint64{
		"value":           {length("SecretValue", ""), wire.MaxValueBytes},
		"plain value":     {length("Env", "value"), store.MaxPlainValue},
		"name":            {length("Name", ""), ref.MaxName},
		"slug":            {length("OrganizationCreate", "slug"), ref.MaxSlug},
		"ENV name":        {length("Env", "name"), ref.MaxEnvName},
		"description":     {length("Description", ""), store.MaxDescription},
		"ENVs":            {*schemas["Envs"].Value.MaxItems, wire.MaxEnvs},
		"bindings":        {*schemas["Bindings"].Value.MaxItems, store.MaxBindings},
		"grants":          {*schemas["Grants"].Value.MaxItems, store.MaxGrants},
		"prefixes":        {*schemas["AllowedPrefixes"].Value.MaxItems, store.MaxPrefixes},
		"a prefix":        {*schemas["AllowedPrefixes"].Value.Items.Value.MaxLength, store.MaxPrefix},
		"provider type":   {length("ProviderType", ""), store.MaxProviderType},
		"labels":          {*schemas["Labels"].Value.MaxProps, store.MaxLabels},
		"page size":       {uint64(*doc.Components.Parameters["PageSize"].Value.Schema.Value.Max), store.MaxPage},
		"containers":      {*schemas["Question"].Value.Properties["containers"].Value.MaxItems, wire.MaxContainers},
		"ENVs asked":      {*schemas["QuestionContainer"].Value.Properties["envs"].Value.MaxItems, wire.MaxEnvs},
		"references":      {*schemas["QuestionContainer"].Value.Properties["inline"].Value.MaxItems, wire.MaxEnvs},
		"batch":           {*schemas["SecretBatch"].Value.Properties["secrets"].Value.MaxItems, store.MaxBatch},
		"import":          {length("SecretImport", "content"), bundle.MaxBytes},
		"base64 of value": {min(length("SecretValueBase64", ""), 4*(wire.MaxValueBytes/3+1)), 4 * (wire.MaxValueBytes/3 + 1)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the document says %d, the code %d", name, pair[0], pair[1])
		}
	}
	if s := string(contract.Document); strings.Contains(s, "sk_live") || strings.Contains(s, "BEGIN PRIVATE") {
		t.Error("an example looks like a real value")
	}
}
