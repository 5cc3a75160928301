// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// Issuers says whose ID tokens the operator of the installation lets organizations trust.
type Issuers interface {
	// CheckIssuer returns nil, or an error that says why an issuer may not be trusted.
	CheckIssuer(issuer string) error
}

func federation(f store.Federation) contract.Federation {
	return contract.Federation{
		ID: f.ID, OrganizationID: f.OrgID, Name: f.Name, Issuer: f.Issuer, Audience: f.Audience, Claims: f.Claims, Role: contract.Role(f.Role),
		LifetimeSeconds: int64(f.Life / time.Second), CreatedAt: f.CreatedAt, CreatedBy: f.CreatedBy, Etag: etag(f.Meta),
	}
}

// federation looks a federation up in an organization.
func (s *server) federation(ctx context.Context, org, nameOrID string) (store.Federation, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.Federation{}, err
	}
	return s.store.Federation(ctx, o.ID, nameOrID)
}

// ListFederations implements ginapi.StrictServerInterface.
func (s *server) ListFederations(ctx context.Context, r ginapi.ListFederationsRequestObject) (ginapi.ListFederationsResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Federations(ctx, o.ID, store.Query{Search: or(r.Params.Q, ""), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)})
	if err != nil {
		return nil, err
	}
	return ginapi.ListFederations200JSONResponse{Items: each(page.Items, federation), NextPageToken: optional(page.Next)}, nil
}

// CreateFederation implements ginapi.StrictServerInterface.
func (s *server) CreateFederation(ctx context.Context, r ginapi.CreateFederationRequestObject) (ginapi.CreateFederationResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	var f store.Federation
	if err := s.once(ctx, call, func() error {
		if err := s.issuers.CheckIssuer(r.Body.Issuer); err != nil {
			return field("/issuer", "not_allowed", "%v", err)
		}
		f, err = s.store.CreateFederation(ctx, call.act(), o.ID, store.Federation{
			Name: r.Body.Name, Issuer: r.Body.Issuer, Audience: r.Body.Audience, Claims: r.Body.Claims, Role: store.Role(r.Body.Role),
			Life: time.Duration(or(r.Body.LifetimeSeconds, 0)) * time.Second,
		})
		return err
	}, &f); err != nil {
		return nil, err
	}
	return ginapi.CreateFederation201JSONResponse{
		Body:    federation(f),
		Headers: ginapi.CreateFederation201ResponseHeaders{ETag: etag(f.Meta), Location: organizationsPath + f.OrgID + "/federations/" + f.ID},
	}, nil
}

// GetFederation implements ginapi.StrictServerInterface.
func (s *server) GetFederation(ctx context.Context, r ginapi.GetFederationRequestObject) (ginapi.GetFederationResponseObject, error) {
	ctx, _ = begun(ctx)
	f, err := s.federation(ctx, r.Organization, r.Federation)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, f.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetFederation304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(f.Meta)}}, nil
	}
	return ginapi.GetFederation200JSONResponse{Body: federation(f), Headers: ginapi.GetFederation200ResponseHeaders{ETag: etag(f.Meta)}}, nil
}

// DeleteFederation implements ginapi.StrictServerInterface.
func (s *server) DeleteFederation(ctx context.Context, r ginapi.DeleteFederationRequestObject) (ginapi.DeleteFederationResponseObject, error) {
	ctx, call := begun(ctx)
	f, err := s.federation(ctx, r.Organization, r.Federation)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, f.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteFederation(ctx, call.act(), f.OrgID, f.ID, expect); err != nil {
		return nil, err
	}
	return ginapi.DeleteFederation204Response{}, nil
}
