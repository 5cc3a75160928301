// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const root = "/api/v1/organizations/"

func (h *handlers) GetMe(ctx context.Context, _ GetMeRequestObject) (GetMeResponseObject, error) {
	caller := principal(ctx.(*gin.Context))
	return GetMe200JSONResponse{Principal: caller.Name, Admin: caller.Class == authz.Admin}, nil
}

func (h *handlers) ListOrganizations(ctx context.Context, r ListOrganizationsRequestObject) (ListOrganizationsResponseObject, error) {
	page, err := h.config.Store.Organizations(ctx, query(r.Params.PageSize, r.Params.PageToken, r.Params.Q))
	if err != nil {
		return nil, err
	}
	return ListOrganizations200JSONResponse{Items: mapped(page.Items, organization), NextPageToken: optional(page.Next)}, nil
}

func (h *handlers) CreateOrganization(ctx context.Context, r CreateOrganizationRequestObject) (CreateOrganizationResponseObject, error) {
	o, err := h.config.Store.CreateOrganization(ctx, act(ctx), store.Organization{Slug: r.Body.Slug, DisplayName: value(r.Body.DisplayName)})
	if err != nil {
		return nil, err
	}
	tag, location := etag(o.Revision), root+o.ID
	return CreateOrganization201JSONResponse{Body: organization(o), Headers: CreateOrganization201ResponseHeaders{ETag: &tag, Location: &location}}, nil
}

func (h *handlers) GetOrganization(ctx context.Context, r GetOrganizationRequestObject) (GetOrganizationResponseObject, error) {
	o, err := h.config.Store.Organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	return GetOrganization200JSONResponse{Body: organization(o), Headers: GetOrganization200ResponseHeaders{ETag: new(etag(o.Revision))}}, nil
}

func (h *handlers) UpdateOrganization(ctx context.Context, r UpdateOrganizationRequestObject) (UpdateOrganizationResponseObject, error) {
	org, expect, err := h.change(ctx, r.Organization, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	o, err := h.config.Store.UpdateOrganization(ctx, act(ctx), org, expect, func(o *store.Organization) error {
		set(&o.Slug, r.Body.Slug)
		set(&o.DisplayName, r.Body.DisplayName)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return UpdateOrganization200JSONResponse{Body: organization(o), Headers: UpdateOrganization200ResponseHeaders{ETag: new(etag(o.Revision))}}, nil
}

func (h *handlers) DeleteOrganization(ctx context.Context, r DeleteOrganizationRequestObject) (DeleteOrganizationResponseObject, error) {
	org, expect, err := h.change(ctx, r.Organization, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := h.config.Store.DeleteOrganization(ctx, act(ctx), org, expect); err != nil {
		return nil, err
	}
	return DeleteOrganization204Response{}, nil
}

func (h *handlers) ListAuditEvents(ctx context.Context, r ListAuditEventsRequestObject) (ListAuditEventsResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := h.config.Store.AuditEvents(ctx, org, store.AuditQuery{
		After: value(r.Params.PageToken), Limit: value(r.Params.PageSize), Action: audit.Action(value(r.Params.Action)), ResourceID: value(r.Params.Resource),
	})
	if err != nil {
		return nil, err
	}
	return ListAuditEvents200JSONResponse{Items: mapped(page.Items, auditEvent), NextPageToken: optional(page.Next)}, nil
}

// organization resolves a slug or id. Every id that arrives with a request is looked up within what it returns.
func (h *handlers) organization(ctx context.Context, slugOrID string) (id string, err error) {
	o, err := h.config.Store.Organization(ctx, slugOrID)
	return o.ID, err
}

// change resolves the organization of a change and what its If-Match expects.
func (h *handlers) change(ctx context.Context, slugOrID string, ifMatch *string) (org string, expect int64, err error) {
	if expect, err = expected(ifMatch); err != nil {
		return "", 0, err
	}
	org, err = h.organization(ctx, slugOrID)
	return org, expect, err
}
