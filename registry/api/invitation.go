// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/authn/credential"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// invitationPrefix is what the code of an invitation begins with, see package credential. It is accepted nowhere else.
const invitationPrefix = "lyd_inv_"

var (
	// errNoInvitation is a code that is no good. Whether it was wrong, used or revoked, has ended, or is another person's is not told.
	errNoInvitation = errors.New("no such invitation")
	// errNobody is a caller who cannot be a member.
	errNobody = errors.New("caller is nobody")
)

func invitation(i store.Invitation) contract.Invitation {
	return contract.Invitation{
		ID: i.ID, OrganizationID: i.OrgID, Email: optional(i.Email), Principal: optional(i.Principal), Role: contract.Role(i.Role), ExpiresAt: i.ExpiresAt,
		CreatedAt: i.CreatedAt, CreatedBy: i.CreatedBy, Etag: etag(i.Meta),
	}
}

// invitation looks an invitation up in an organization.
func (s *server) invitation(ctx context.Context, org, id string) (store.Invitation, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.Invitation{}, err
	}
	return s.store.Invitation(ctx, o.ID, id)
}

// ListInvitations implements ginapi.StrictServerInterface.
func (s *server) ListInvitations(ctx context.Context, r ginapi.ListInvitationsRequestObject) (ginapi.ListInvitationsResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Invitations(ctx, o.ID, store.Query{After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)})
	if err != nil {
		return nil, err
	}
	return ginapi.ListInvitations200JSONResponse{Items: each(page.Items, invitation), NextPageToken: optional(page.Next)}, nil
}

// CreateInvitation implements ginapi.StrictServerInterface. Its answer is the only place the code of an invitation is ever written to.
func (s *server) CreateInvitation(ctx context.Context, r ginapi.CreateInvitationRequestObject) (ginapi.CreateInvitationResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	var i store.Invitation
	code := onceShown{call: call, text: func(id string) string { return credential.New(invitationPrefix, id) }}
	if err := s.once(ctx, call, func() error {
		var err error
		asked := store.Invitation{Email: or(r.Body.Email, ""), Principal: or(r.Body.Principal, ""), Role: store.Role(r.Body.Role), ExpiresAt: or(r.Body.ExpiresAt, time.Time{})}
		i, err = s.store.CreateInvitation(ctx, call.act(), o.ID, asked, code.hash)
		return err
	}, &i); err != nil {
		return nil, err
	}
	made := invitation(i)
	return ginapi.CreateInvitation201JSONResponse{
		Body: contract.InvitationCreated{
			Code: code.shown(), ID: made.ID, OrganizationID: made.OrganizationID, Email: made.Email, Principal: made.Principal, Role: made.Role, ExpiresAt: made.ExpiresAt,
			CreatedAt: made.CreatedAt, CreatedBy: made.CreatedBy, Etag: made.Etag,
		},
		Headers: ginapi.CreateInvitation201ResponseHeaders{ETag: made.Etag, Location: organizationsPath + i.OrgID + "/invitations/" + i.ID},
	}, nil
}

// GetInvitation implements ginapi.StrictServerInterface.
func (s *server) GetInvitation(ctx context.Context, r ginapi.GetInvitationRequestObject) (ginapi.GetInvitationResponseObject, error) {
	ctx, _ = begun(ctx)
	i, err := s.invitation(ctx, r.Organization, r.Invitation)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, i.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetInvitation304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(i.Meta)}}, nil
	}
	return ginapi.GetInvitation200JSONResponse{Body: invitation(i), Headers: ginapi.GetInvitation200ResponseHeaders{ETag: etag(i.Meta)}}, nil
}

// RevokeInvitation implements ginapi.StrictServerInterface.
func (s *server) RevokeInvitation(ctx context.Context, r ginapi.RevokeInvitationRequestObject) (ginapi.RevokeInvitationResponseObject, error) {
	ctx, call := begun(ctx)
	i, err := s.invitation(ctx, r.Organization, r.Invitation)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, i.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.RevokeInvitation(ctx, call.act(), i.OrgID, i.ID, expect); err != nil {
		return nil, err
	}
	return ginapi.RevokeInvitation204Response{}, nil
}

// AcceptInvitation implements ginapi.StrictServerInterface. What is no code is refused like a code that is not good.
func (s *server) AcceptInvitation(ctx context.Context, r ginapi.AcceptInvitationRequestObject) (ginapi.AcceptInvitationResponseObject, error) {
	ctx, call := begun(ctx)
	if call.principal.Type == "token" { // an API token is its organization's, and the bootstrap token is nobody
		s.denied(ctx, call, contract.CodeForbidden)
		return nil, errNobody
	}
	id, ok := credential.Parse(invitationPrefix, r.Body.Code)
	if !ok {
		return nil, errNoInvitation
	}
	var m store.Member
	if err := s.once(ctx, call, func() (err error) {
		m, err = s.store.AcceptInvitation(ctx, call.act(), id, credential.Sum(r.Body.Code), call.principal.String())
		return err
	}, &m); errors.Is(err, store.ErrNotFound) {
		return nil, errNoInvitation
	} else if err != nil {
		return nil, err
	}
	return ginapi.AcceptInvitation200JSONResponse(member(m)), nil
}
