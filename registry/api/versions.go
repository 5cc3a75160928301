// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
	"github.com/lanyard-dev/lanyard/registry/store"
)

func (h *handlers) ListVersions(ctx context.Context, r ListVersionsRequestObject) (ListVersionsResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	s, err := h.config.Store.Secret(ctx, org, r.Secret)
	if err != nil {
		return nil, err
	}
	list, err := h.config.Store.Versions(ctx, org, s.ID)
	if err != nil {
		return nil, err
	}
	return ListVersions200JSONResponse{Items: mapped(list, func(v store.Version) Version { return version(v, s.ActiveVersion) })}, nil
}

func (h *handlers) PutVersion(ctx context.Context, r PutVersionRequestObject) (PutVersionResponseObject, error) {
	org, id, expect, err := h.changeSecret(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	put, err := submitted(r.Body.Value, r.Body.ValueBase64)
	if err != nil {
		return nil, err
	}
	if put == nil {
		return nil, invalid("/value", "required", "give value or value_base64")
	}
	defer put.Wipe()
	activate := r.Body.Activate == nil || *r.Body.Activate
	s, v, err := h.config.Store.PutVersion(ctx, act(ctx), org, id, expect, *put, activate)
	if err != nil {
		return nil, err
	}
	return PutVersion201JSONResponse{Body: version(v, s.ActiveVersion), Headers: PutVersion201ResponseHeaders{ETag: new(etag(s.Revision))}}, nil
}

func (h *handlers) ActivateVersion(ctx context.Context, r ActivateVersionRequestObject) (ActivateVersionResponseObject, error) {
	org, id, expect, err := h.changeSecret(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	s, err := h.config.Store.ActivateVersion(ctx, act(ctx), org, id, expect, uint64(r.Version)) //nolint:gosec // the document's minimum is 1
	if err != nil {
		return nil, err
	}
	return ActivateVersion200JSONResponse{Body: secret(s), Headers: ActivateVersion200ResponseHeaders{ETag: new(etag(s.Revision))}}, nil
}

func (h *handlers) DestroyVersion(ctx context.Context, r DestroyVersionRequestObject) (DestroyVersionResponseObject, error) {
	org, id, expect, err := h.changeSecret(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	v, err := h.config.Store.DestroyVersion(ctx, act(ctx), org, id, expect, uint64(r.Version)) //nolint:gosec // the document's minimum is 1
	if err != nil {
		return nil, err
	}
	return DestroyVersion200JSONResponse(version(v, 0)), nil
}
