// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// errForbidden is a parameter the caller may not use.
var errForbidden = errors.New("forbidden")

func member(m store.Member) contract.Member {
	return contract.Member{
		ID: m.ID, OrganizationID: m.OrgID, Principal: m.Principal, Role: contract.Role(m.Role),
		CreatedAt: m.CreatedAt, CreatedBy: m.CreatedBy, UpdatedAt: m.UpdatedAt, UpdatedBy: m.UpdatedBy, Etag: etag(m.Meta),
	}
}

// member looks a member up in an organization.
func (s *server) member(ctx context.Context, org, principalOrID string) (store.Member, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.Member{}, err
	}
	return s.store.Member(ctx, o.ID, principalOrID)
}

// ListMembers implements ginapi.StrictServerInterface.
func (s *server) ListMembers(ctx context.Context, r ginapi.ListMembersRequestObject) (ginapi.ListMembersResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Members(ctx, o.ID, store.Query{Search: or(r.Params.Q, ""), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)})
	if err != nil {
		return nil, err
	}
	return ginapi.ListMembers200JSONResponse{Items: each(page.Items, member), NextPageToken: optional(page.Next)}, nil
}

// AddMember implements ginapi.StrictServerInterface.
func (s *server) AddMember(ctx context.Context, r ginapi.AddMemberRequestObject) (ginapi.AddMemberResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	var m store.Member
	if err := s.once(ctx, call, func() (err error) {
		m, err = s.store.AddMember(ctx, call.act(), o.ID, store.Member{Principal: r.Body.Principal, Role: store.Role(r.Body.Role)})
		return err
	}, &m); err != nil {
		return nil, err
	}
	return ginapi.AddMember201JSONResponse{Body: member(m), Headers: ginapi.AddMember201ResponseHeaders{
		ETag: etag(m.Meta), Location: organizationsPath + m.OrgID + "/members/" + m.ID,
	}}, nil
}

// GetMember implements ginapi.StrictServerInterface.
func (s *server) GetMember(ctx context.Context, r ginapi.GetMemberRequestObject) (ginapi.GetMemberResponseObject, error) {
	ctx, _ = begun(ctx)
	m, err := s.member(ctx, r.Organization, r.Member)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, m.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetMember304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(m.Meta)}}, nil
	}
	return ginapi.GetMember200JSONResponse{Body: member(m), Headers: ginapi.GetMember200ResponseHeaders{ETag: etag(m.Meta)}}, nil
}

// UpdateMember implements ginapi.StrictServerInterface.
func (s *server) UpdateMember(ctx context.Context, r ginapi.UpdateMemberRequestObject) (ginapi.UpdateMemberResponseObject, error) {
	ctx, call := begun(ctx)
	force, err := s.mayForce(ctx, call, r.Params.Force)
	if err != nil {
		return nil, err
	}
	m, err := s.member(ctx, r.Organization, r.Member)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, m.Meta)
	if err != nil {
		return nil, err
	}
	m, err = s.store.SetRole(ctx, call.act(), m.OrgID, m.Principal, expect, store.Role(r.Body.Role), force)
	if err != nil {
		return nil, err
	}
	return ginapi.UpdateMember200JSONResponse{Body: member(m), Headers: ginapi.UpdateMember200ResponseHeaders{ETag: etag(m.Meta)}}, nil
}

// RemoveMember implements ginapi.StrictServerInterface.
func (s *server) RemoveMember(ctx context.Context, r ginapi.RemoveMemberRequestObject) (ginapi.RemoveMemberResponseObject, error) {
	ctx, call := begun(ctx)
	force, err := s.mayForce(ctx, call, r.Params.Force)
	if err != nil {
		return nil, err
	}
	m, err := s.member(ctx, r.Organization, r.Member)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, m.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.RemoveMember(ctx, call.act(), m.OrgID, m.Principal, expect, force); err != nil {
		return nil, err
	}
	return ginapi.RemoveMember204Response{}, nil
}

// mayForce keeps the taking of last owners for administrators of the installation.
func (s *server) mayForce(ctx context.Context, call *call, force *bool) (bool, error) {
	if or(force, false) && !call.principal.Admin {
		s.denied(ctx, call, contract.CodeForbidden)
		return false, errForbidden
	}
	return or(force, false), nil
}
