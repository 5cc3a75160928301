// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strconv"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func version(v store.Version, active uint64) contract.SecretVersion {
	return contract.SecretVersion{
		Number: v.Number, Active: v.Number == active, CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy,
		NoEnvfile: optional(v.NoEnvfile), DestroyedAt: v.DestroyedAt,
	}
}

// ListSecretVersions implements ginapi.StrictServerInterface.
func (s *server) ListSecretVersions(ctx context.Context, r ginapi.ListSecretVersionsRequestObject) (ginapi.ListSecretVersionsResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.secret(ctx, r.Org, r.Secret)
	if err != nil {
		return nil, err
	}
	versions, err := s.store.Versions(ctx, found.OrgID, found.ID)
	if err != nil {
		return nil, err
	}
	return ginapi.ListSecretVersions200JSONResponse{Items: each(versions, func(v store.Version) contract.SecretVersion { return version(v, found.ActiveVersion) })}, nil
}

// GetSecretVersion implements ginapi.StrictServerInterface.
func (s *server) GetSecretVersion(ctx context.Context, r ginapi.GetSecretVersionRequestObject) (ginapi.GetSecretVersionResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.secret(ctx, r.Org, r.Secret)
	if err != nil {
		return nil, err
	}
	versions, err := s.store.Versions(ctx, found.OrgID, found.ID)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Number == r.Version {
			return ginapi.GetSecretVersion200JSONResponse(version(v, found.ActiveVersion)), nil
		}
	}
	return nil, store.ErrNotFound
}

// CreateSecretVersion implements ginapi.StrictServerInterface.
func (s *server) CreateSecretVersion(ctx context.Context, r ginapi.CreateSecretVersionRequestObject) (ginapi.CreateSecretVersionResponseObject, error) {
	ctx, call := begun(ctx)
	value, err := readValue(r.Body.Value, r.Body.ValueBase64)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, field("/value", "required", "value or value_base64 is required")
	}
	defer wipe(value)
	before, expect, err := s.change(ctx, r.Org, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	after, v, err := s.store.PutVersion(ctx, call.act(), before.OrgID, before.ID, expect, *value, or(r.Body.Activate, true))
	if err != nil {
		return nil, err
	}
	body, tag := version(v, after.ActiveVersion), etag(after.Meta)
	if after.Revision == before.Revision {
		return ginapi.CreateSecretVersion200JSONResponse{Body: body, Headers: ginapi.CreateSecretVersion200ResponseHeaders{ETag: tag}}, nil
	}
	return ginapi.CreateSecretVersion201JSONResponse{Body: body, Headers: ginapi.CreateSecretVersion201ResponseHeaders{
		ETag: tag, Location: secretPath(after) + "/versions/" + strconv.FormatUint(v.Number, 10),
	}}, nil
}

// ActivateSecretVersion implements ginapi.StrictServerInterface.
func (s *server) ActivateSecretVersion(ctx context.Context, r ginapi.ActivateSecretVersionRequestObject) (ginapi.ActivateSecretVersionResponseObject, error) {
	ctx, call := begun(ctx)
	found, expect, err := s.change(ctx, r.Org, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	changed, err := s.store.ActivateVersion(ctx, call.act(), found.OrgID, found.ID, expect, r.Version)
	if err != nil {
		return nil, err
	}
	return ginapi.ActivateSecretVersion200JSONResponse{Body: secret(changed), Headers: ginapi.ActivateSecretVersion200ResponseHeaders{ETag: etag(changed.Meta)}}, nil
}

// DestroySecretVersion implements ginapi.StrictServerInterface.
func (s *server) DestroySecretVersion(ctx context.Context, r ginapi.DestroySecretVersionRequestObject) (ginapi.DestroySecretVersionResponseObject, error) {
	ctx, call := begun(ctx)
	found, expect, err := s.change(ctx, r.Org, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	v, err := s.store.DestroyVersion(ctx, call.act(), found.OrgID, found.ID, expect, r.Version)
	if err != nil {
		return nil, err
	}
	return ginapi.DestroySecretVersion200JSONResponse(version(v, 0)), nil // never the active one
}
