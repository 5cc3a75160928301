// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/lanyard-dev/lanyard/internal/bundle"
	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// PutSecrets implements ginapi.StrictServerInterface.
func (s *server) PutSecrets(ctx context.Context, r ginapi.PutSecretsRequestObject) (ginapi.PutSecretsResponseObject, error) {
	ctx, call := begun(ctx)
	secrets := make([]store.NewSecret, len(r.Body.Secrets))
	defer wipeAll(secrets)
	for i, item := range r.Body.Secrets {
		value, err := readValue(item.Value, item.ValueBase64, item.Generate)
		if err != nil {
			return nil, within(fmt.Sprintf("/secrets/%d", i), err)
		}
		secrets[i] = store.NewSecret{Name: item.Name, Description: or(item.Description, ""), Labels: or(item.Labels, nil), Value: value}
	}
	results, err := s.putSecrets(ctx, call, r.Organization, secrets, r.Body.Existing, r.Body.DryRun)
	if err != nil {
		return nil, err
	}
	return ginapi.PutSecrets200JSONResponse{DryRun: or(r.Body.DryRun, false), Items: each(results, batchResult)}, nil
}

// maxImported is how many secrets one import may hold.
const maxImported = 1000

// ImportSecrets implements ginapi.StrictServerInterface.
func (s *server) ImportSecrets(ctx context.Context, r ginapi.ImportSecretsRequestObject) (ginapi.ImportSecretsResponseObject, error) {
	ctx, call := begun(ctx)
	content, pointer, err := importContent(r.Body)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	items, err := bundle.Parse(content, bundle.Format(or(r.Body.Format, contract.ImportFormatAuto)))
	switch {
	case err != nil: // it tells lines and names, never what stands there
		return nil, field(pointer, "syntax", "the content %s", err)
	case len(items) > maxImported:
		return nil, field(pointer, "range", "an import may hold %d secrets", maxImported)
	}
	secrets := make([]store.NewSecret, len(items))
	defer wipeAll(secrets)
	for i, item := range items {
		secrets[i] = store.NewSecret{Name: or(r.Body.Prefix, "") + item.Name, Value: &items[i].Value}
	}
	results, err := s.putSecrets(ctx, call, r.Organization, secrets, r.Body.Existing, r.Body.DryRun)
	if err != nil {
		return nil, err
	}
	answer := ginapi.ImportSecrets200JSONResponse{DryRun: or(r.Body.DryRun, false), Items: each(results, batchResult)}
	for i := range answer.Items {
		answer.Items[i].Note = optional(items[i].Note)
	}
	return answer, nil
}

// importContent returns the content of an import and the field it is in.
func importContent(body *contract.SecretImport) (content []byte, pointer string, err error) {
	switch {
	case body.Content != nil && body.ContentBase64 != nil:
		return nil, "", field("/content_base64", "forbidden", "give either content or content_base64, not both")
	case body.Content != nil:
		return []byte(*body.Content), "/content", nil
	case body.ContentBase64 == nil:
		return nil, "", field("/content", "required", "content or content_base64 is required")
	}
	content, err = base64.StdEncoding.Strict().DecodeString(*body.ContentBase64)
	if err != nil {
		clear(content)
		return nil, "", field("/content_base64", "encoding", "it is not standard base64 (RFC 4648, section 4, with padding)")
	}
	return content, "/content_base64", nil
}

// putSecrets puts secrets in as few transactions as hold them. The first one is made only if none of the secrets is refused. With a key each transaction has
// one of its own, so that a repetition goes on where the first request ended.
func (s *server) putSecrets(ctx context.Context, call *call, org string, secrets []store.NewSecret, existing *contract.Existing, dryRun *bool) ([]store.BatchResult, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, nil
	}
	if err := store.CheckSecrets(secrets); err != nil {
		return nil, err
	}
	taken := store.Existing(or(existing, contract.ExistingFail))
	if or(dryRun, false) {
		return s.store.PlanSecrets(ctx, o.ID, secrets, taken)
	}
	var all []store.BatchResult
	batches := store.Batches(secrets)
	for i, batch := range batches {
		part := *call
		if call.once != nil {
			once := *call.once
			once.Key = fmt.Sprintf("%s#%d", once.Key, i)
			part.once = &once
		}
		var results []store.BatchResult
		if err := s.once(ctx, &part, func() error {
			if i == 0 && len(batches) > 1 {
				if err := s.refuseSecrets(ctx, o.ID, secrets, taken); err != nil {
					return err
				}
			}
			results, err = s.store.PutSecrets(ctx, part.act(), o.ID, batch, taken)
			return err
		}, &results); err != nil {
			return nil, err
		}
		all = append(all, results...)
	}
	return all, nil
}

// refuseSecrets returns an error if any of the secrets would be refused.
func (s *server) refuseSecrets(ctx context.Context, orgID string, secrets []store.NewSecret, taken store.Existing) error {
	plan, err := s.store.PlanSecrets(ctx, orgID, secrets, taken)
	if err != nil {
		return err
	}
	var refused []store.BatchResult
	for _, r := range plan {
		if r.Action == store.BatchRefused {
			refused = append(refused, r)
		}
	}
	if refused != nil {
		return &store.RefusedError{Refused: refused}
	}
	return nil
}

func batchResult(r store.BatchResult) contract.BatchItem {
	return contract.BatchItem{Name: r.Name, Action: contract.BatchAction(r.Action), ID: optional(r.ID), Version: optional(r.Version), Reason: optional(r.Reason)}
}

// within moves the pointers of a problem below another one.
func within(pointer string, err error) error {
	fields, ok := err.(invalid) //nolint:errorlint // as readValue returns it
	if !ok {
		return err
	}
	for i := range fields {
		fields[i].Pointer = pointer + "/" + strings.TrimPrefix(fields[i].Pointer, "/")
	}
	return fields
}

func wipeAll(secrets []store.NewSecret) {
	for _, n := range secrets {
		wipe(n.Value)
	}
}
