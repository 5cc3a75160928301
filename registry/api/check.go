// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Checker does what the start of a pod does, and tells only whether it works. Nothing it returns holds a part of a value or of credentials.
type Checker interface {
	// CheckSecret returns an error of package store, or the context's, if it could not find out.
	CheckSecret(ctx context.Context, orgID, secretID string) (resolve.Outcome, error)
	// CheckProvider reaches the provider and logs in. It bounds its own time.
	CheckProvider(ctx context.Context, orgID, providerID string) resolve.Outcome
	// ProviderHealth tells what this replica knows of a provider, at once.
	ProviderHealth(p store.Provider) contract.ProviderHealth
	// ProviderAudience returns the audience of the pods' own tokens that a provider is read with; empty if it has an identity of its own.
	ProviderAudience(p store.Provider) string
}

// CheckSecret implements ginapi.StrictServerInterface.
func (s *server) CheckSecret(ctx context.Context, r ginapi.CheckSecretRequestObject) (ginapi.CheckSecretResponseObject, error) {
	ctx, call := begun(ctx)
	var answer contract.CheckResult
	if err := s.once(ctx, call, func() error {
		found, err := s.secret(ctx, r.Organization, r.Secret)
		if err != nil {
			return err
		}
		began := time.Now()
		outcome, err := s.checker.CheckSecret(ctx, found.OrgID, found.ID)
		if err != nil {
			return err
		}
		answer = result(outcome, began)
		return s.store.Keep(ctx, call.act(), &answer)
	}, &answer); err != nil {
		return nil, err
	}
	return ginapi.CheckSecret200JSONResponse(answer), nil
}

// TestProvider implements ginapi.StrictServerInterface.
func (s *server) TestProvider(ctx context.Context, r ginapi.TestProviderRequestObject) (ginapi.TestProviderResponseObject, error) {
	ctx, call := begun(ctx)
	var answer contract.CheckResult
	if err := s.once(ctx, call, func() error {
		found, err := s.provider(ctx, r.Organization, r.Provider)
		if err != nil {
			return err
		}
		began := time.Now()
		answer = result(s.checker.CheckProvider(ctx, found.OrgID, found.ID), began)
		return s.store.Keep(ctx, call.act(), &answer)
	}, &answer); err != nil {
		return nil, err
	}
	return ginapi.TestProvider200JSONResponse(answer), nil
}

func result(o resolve.Outcome, began time.Time) contract.CheckResult {
	return contract.CheckResult{
		Ok: o.Code == "", Code: optional(string(o.Code)), Reason: optional(o.Reason), Message: optional(o.Message), Provider: optional(o.Provider),
		NoEnvfile: optional(o.NoEnvfile), NoExec: optional(o.NoExec), LatencyMs: float64(time.Since(began).Microseconds()) / 1000,
	}
}
