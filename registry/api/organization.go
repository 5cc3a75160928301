// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const organizationsPath = "/api/v1/organizations/"

func organization(o store.Organization) contract.Organization {
	return contract.Organization{
		ID: o.ID, Slug: o.Slug, DisplayName: o.DisplayName, Quota: quota(o.Quota),
		CreatedAt: o.CreatedAt, CreatedBy: o.CreatedBy, UpdatedAt: o.UpdatedAt, UpdatedBy: o.UpdatedBy, Etag: etag(o.Meta),
	}
}

// quota is nil for one that bounds nothing.
func quota(q store.Quota) *contract.Quota {
	if q == (store.Quota{}) {
		return nil
	}
	return &contract.Quota{Secrets: optional(q.Secrets), Versions: optional(q.Versions), Bytes: optional(q.Bytes)}
}

// ListOrganizations implements ginapi.StrictServerInterface.
func (s *server) ListOrganizations(ctx context.Context, r ginapi.ListOrganizationsRequestObject) (ginapi.ListOrganizationsResponseObject, error) {
	ctx, call := begun(ctx)
	q := store.Query{Search: or(r.Params.Q, ""), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)}
	switch p := call.principal; {
	case p.Admin:
	case p.Org != "":
		q.Organization = p.Org
	default:
		q.Member = p.String()
	}
	page, err := s.store.Organizations(ctx, q)
	if err != nil {
		return nil, err
	}
	return ginapi.ListOrganizations200JSONResponse{Items: each(page.Items, organization), NextPageToken: optional(page.Next)}, nil
}

// CreateOrganization implements ginapi.StrictServerInterface.
func (s *server) CreateOrganization(ctx context.Context, r ginapi.CreateOrganizationRequestObject) (ginapi.CreateOrganizationResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	var owners []string
	if call.principal.Type != "token" { // what anybody may hold and nobody is
		owners = []string{call.principal.String()}
	}
	var o store.Organization
	if err := s.once(ctx, call, func() (err error) {
		o, err = s.store.CreateOrganization(ctx, call.act(), store.Organization{Slug: r.Body.Slug, DisplayName: or(r.Body.DisplayName, "")}, owners...)
		return err
	}, &o); err != nil {
		return nil, err
	}
	return ginapi.CreateOrganization201JSONResponse{
		Body:    organization(o),
		Headers: ginapi.CreateOrganization201ResponseHeaders{ETag: etag(o.Meta), Location: organizationsPath + o.ID},
	}, nil
}

// GetOrganization implements ginapi.StrictServerInterface.
func (s *server) GetOrganization(ctx context.Context, r ginapi.GetOrganizationRequestObject) (ginapi.GetOrganizationResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, o.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetOrganization304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(o.Meta)}}, nil
	}
	return ginapi.GetOrganization200JSONResponse{Body: organization(o), Headers: ginapi.GetOrganization200ResponseHeaders{ETag: etag(o.Meta)}}, nil
}

// UpdateOrganization implements ginapi.StrictServerInterface.
func (s *server) UpdateOrganization(ctx context.Context, r ginapi.UpdateOrganizationRequestObject) (ginapi.UpdateOrganizationResponseObject, error) {
	ctx, call := begun(ctx)
	if r.Body.Quota != nil && !call.principal.Admin { // who is bounded does not say how far
		s.denied(ctx, call, contract.CodeForbidden)
		return nil, errForbidden
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, o.Meta)
	if err != nil {
		return nil, err
	}
	o, err = s.store.UpdateOrganization(ctx, call.act(), o.ID, expect, func(o *store.Organization) error {
		o.DisplayName = or(r.Body.DisplayName, o.DisplayName)
		if q := r.Body.Quota; q != nil {
			o.Quota = store.Quota{Secrets: or(q.Secrets, o.Quota.Secrets), Versions: or(q.Versions, o.Quota.Versions), Bytes: or(q.Bytes, o.Quota.Bytes)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ginapi.UpdateOrganization200JSONResponse{Body: organization(o), Headers: ginapi.UpdateOrganization200ResponseHeaders{ETag: etag(o.Meta)}}, nil
}

// DeleteOrganization implements ginapi.StrictServerInterface.
func (s *server) DeleteOrganization(ctx context.Context, r ginapi.DeleteOrganizationRequestObject) (ginapi.DeleteOrganizationResponseObject, error) {
	ctx, call := begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	force := or(r.Params.Force, false)
	if force && or(r.Params.Confirm, "") != o.Slug {
		return nil, parameter("confirm", "required", "with force, it must be the slug of the organization that is to be deleted with everything in it")
	}
	expect, err := s.expect(r.Params.IfMatch, o.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteOrganization(ctx, call.act(), o.ID, expect, force); err != nil {
		return nil, err
	}
	return ginapi.DeleteOrganization204Response{}, nil
}

// GetOrganizationContents implements ginapi.StrictServerInterface.
func (s *server) GetOrganizationContents(ctx context.Context, r ginapi.GetOrganizationContentsRequestObject) (ginapi.GetOrganizationContentsResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	have, err := s.store.Contents(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	return ginapi.GetOrganizationContents200JSONResponse{Items: contents(have)}, nil
}

func contents(have []store.Content) []contract.OrganizationContent {
	return each(have, func(c store.Content) contract.OrganizationContent {
		return contract.OrganizationContent{Kind: c.Kind, Count: c.Count, Names: append([]string{}, c.Names...), NeedsForce: c.NeedsForce}
	})
}

// each maps a list; a nil one becomes an empty one, which JSON writes as [].
func each[T, U any](list []T, convert func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = convert(v)
	}
	return out
}
