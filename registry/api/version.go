// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strconv"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func version(v store.Version, active uint64) contract.Version {
	return contract.Version{
		Number: v.Number, Active: v.Number == active, CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy,
		NoEnvfile: optional(v.NoEnvfile), NoExec: optional(v.NoExec), DestroyedAt: v.DestroyedAt,
	}
}

// ListVersions implements ginapi.StrictServerInterface.
func (s *server) ListVersions(ctx context.Context, r ginapi.ListVersionsRequestObject) (ginapi.ListVersionsResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.secret(ctx, r.Organization, r.Secret)
	if err != nil {
		return nil, err
	}
	versions, err := s.store.Versions(ctx, found.OrgID, found.ID)
	if err != nil {
		return nil, err
	}
	return ginapi.ListVersions200JSONResponse{Items: each(versions, func(v store.Version) contract.Version { return version(v, found.ActiveVersion) })}, nil
}

// GetVersion implements ginapi.StrictServerInterface.
func (s *server) GetVersion(ctx context.Context, r ginapi.GetVersionRequestObject) (ginapi.GetVersionResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.secret(ctx, r.Organization, r.Secret)
	if err != nil {
		return nil, err
	}
	versions, err := s.store.Versions(ctx, found.OrgID, found.ID)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Number == r.Version {
			return ginapi.GetVersion200JSONResponse(version(v, found.ActiveVersion)), nil
		}
	}
	return nil, store.ErrNotFound
}

// PutVersion implements ginapi.StrictServerInterface.
func (s *server) PutVersion(ctx context.Context, r ginapi.PutVersionRequestObject) (ginapi.PutVersionResponseObject, error) {
	ctx, call := begun(ctx)
	value, err := readValue(r.Body.Value, r.Body.ValueBase64, r.Body.Generate)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, field("/value", "required", "value, value_base64 or generate is required")
	}
	defer wipe(value)
	var after store.Secret
	var v store.Version
	same := false
	if err := s.once(ctx, call, func() error {
		before, expect, err := s.change(ctx, r.Organization, r.Secret, r.Params.IfMatch)
		if err != nil {
			return err
		}
		after, v, err = s.store.PutVersion(ctx, call.act(), before.OrgID, before.ID, expect, *value, or(r.Body.Activate, true))
		same = after.Revision == before.Revision
		return err
	}, &after, &v); err != nil {
		return nil, err
	}
	if call.once != nil {
		same = call.once.Unchanged
	}
	body, tag := version(v, after.ActiveVersion), etag(after.Meta)
	if same {
		return ginapi.PutVersion200JSONResponse{Body: body, Headers: ginapi.PutVersion200ResponseHeaders{ETag: tag}}, nil
	}
	return ginapi.PutVersion201JSONResponse{Body: body, Headers: ginapi.PutVersion201ResponseHeaders{
		ETag: tag, Location: secretPath(after) + "/versions/" + strconv.FormatUint(v.Number, 10),
	}}, nil
}

// ActivateVersion implements ginapi.StrictServerInterface.
func (s *server) ActivateVersion(ctx context.Context, r ginapi.ActivateVersionRequestObject) (ginapi.ActivateVersionResponseObject, error) {
	ctx, call := begun(ctx)
	var changed store.Secret
	if err := s.once(ctx, call, func() error {
		found, expect, err := s.change(ctx, r.Organization, r.Secret, r.Params.IfMatch)
		if err != nil {
			return err
		}
		changed, err = s.store.ActivateVersion(ctx, call.act(), found.OrgID, found.ID, expect, r.Version)
		return err
	}, &changed); err != nil {
		return nil, err
	}
	return ginapi.ActivateVersion200JSONResponse{Body: s.secretBody(changed), Headers: ginapi.ActivateVersion200ResponseHeaders{ETag: etag(changed.Meta)}}, nil
}

// DestroyVersion implements ginapi.StrictServerInterface.
func (s *server) DestroyVersion(ctx context.Context, r ginapi.DestroyVersionRequestObject) (ginapi.DestroyVersionResponseObject, error) {
	ctx, call := begun(ctx)
	var v store.Version
	if err := s.once(ctx, call, func() error {
		found, expect, err := s.change(ctx, r.Organization, r.Secret, r.Params.IfMatch)
		if err != nil {
			return err
		}
		v, err = s.store.DestroyVersion(ctx, call.act(), found.OrgID, found.ID, expect, r.Version)
		return err
	}, new(store.Secret), &v); err != nil {
		return nil, err
	}
	return ginapi.DestroyVersion200JSONResponse(version(v, 0)), nil // never the active one
}
