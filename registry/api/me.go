// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// GetMe implements ginapi.StrictServerInterface.
func (s *server) GetMe(ctx context.Context, _ ginapi.GetMeRequestObject) (ginapi.GetMeResponseObject, error) {
	ctx, call := begun(ctx)
	memberships, err := s.memberships(ctx, call.principal)
	if err != nil {
		return nil, err
	}
	me := contract.Me{
		Principal: call.principal.String(), Admin: call.principal.Admin,
		Memberships: each(memberships, func(m store.Membership) contract.Membership {
			return contract.Membership{OrganizationID: m.Organization.ID, Organization: m.Organization.Slug, Role: contract.Role(m.Role)}
		}),
	}
	if call.principal.Session != "" {
		own, err := s.store.Session(ctx, me.Principal, call.principal.Session)
		if err != nil {
			return nil, err
		}
		told := contractSession(call, own)
		me.Session, me.Email, me.Name = &told, optional(own.Email), optional(own.Name)
	}
	return ginapi.GetMe200JSONResponse(me), nil
}

func (s *server) memberships(ctx context.Context, p authz.Principal) ([]store.Membership, error) {
	if p.Org == "" {
		return s.store.Memberships(ctx, p.String())
	}
	o, err := s.store.Organization(ctx, p.Org)
	if err != nil {
		return nil, err
	}
	role := store.RoleMember
	if p.Role == authz.Owner {
		role = store.RoleOwner
	}
	return []store.Membership{{Organization: o, Role: role}}, nil
}
