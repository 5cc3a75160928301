// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/authn/apitoken"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func apiToken(t store.APIToken) contract.APIToken {
	return contract.APIToken{
		ID: t.ID, OrganizationID: t.OrgID, Name: t.Name, Role: contract.Role(t.Role), ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt,
		CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, Etag: etag(t.Meta),
	}
}

// apiToken looks a token up in an organization.
func (s *server) apiToken(ctx context.Context, org, nameOrID string) (store.APIToken, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.APIToken{}, err
	}
	return s.store.APIToken(ctx, o.ID, nameOrID)
}

// ListTokens implements ginapi.StrictServerInterface.
func (s *server) ListTokens(ctx context.Context, r ginapi.ListTokensRequestObject) (ginapi.ListTokensResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.APITokens(ctx, o.ID, store.Query{Search: or(r.Params.Q, ""), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)})
	if err != nil {
		return nil, err
	}
	return ginapi.ListTokens200JSONResponse{Items: each(page.Items, apiToken), NextPageToken: optional(page.Next)}, nil
}

// CreateToken implements ginapi.StrictServerInterface. Its answer is the only place the text of a token is ever written to.
func (s *server) CreateToken(ctx context.Context, r ginapi.CreateTokenRequestObject) (ginapi.CreateTokenResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	var t store.APIToken
	text := onceShown{call: call, text: apitoken.New}
	if err := s.once(ctx, call, func() error {
		expires, err := s.tokenExpiry(ctx, call, r.Body.ExpiresAt)
		if err != nil {
			return err
		}
		t, err = s.store.CreateAPIToken(ctx, call.act(), o.ID, store.APIToken{Name: r.Body.Name, Role: store.Role(r.Body.Role), ExpiresAt: expires}, text.hash)
		return err
	}, &t); err != nil {
		return nil, err
	}
	return ginapi.CreateToken201JSONResponse{
		Body: contract.APITokenCreated{
			Token: text.shown(), ID: t.ID, OrganizationID: t.OrgID, Name: t.Name, Role: contract.Role(t.Role), ExpiresAt: t.ExpiresAt,
			CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, Etag: etag(t.Meta),
		},
		Headers: ginapi.CreateToken201ResponseHeaders{ETag: etag(t.Meta), Location: organizationsPath + t.OrgID + "/tokens/" + t.ID},
	}, nil
}

// tokenExpiry says when a new token ends; the zero time leaves it to the store. No token makes one that outlives it: else whoever finds one keeps access
// for ever.
func (s *server) tokenExpiry(ctx context.Context, call *call, asked *time.Time) (time.Time, error) {
	wanted := or(asked, time.Time{})
	if call.principal.Org == "" {
		return wanted, nil
	}
	var own struct{ ExpiresAt time.Time }
	var err error
	if id := call.principal.Credential; id != "" {
		var bearer store.FederatedToken
		bearer, err = s.store.FederatedToken(ctx, call.principal.Org, id)
		own.ExpiresAt = bearer.ExpiresAt
	} else {
		var token store.APIToken
		token, err = s.store.APIToken(ctx, call.principal.Org, call.principal.ID)
		own.ExpiresAt = token.ExpiresAt
	}
	switch {
	case err != nil:
		return time.Time{}, err
	case asked != nil && wanted.After(own.ExpiresAt):
		return time.Time{}, field("/expires_at", "range", "a token cannot make one that lives longer than itself, until %s", own.ExpiresAt.Format(time.RFC3339))
	case asked == nil && time.Until(own.ExpiresAt) < store.DefaultTokenLife:
		return own.ExpiresAt, nil
	}
	return wanted, nil
}

// GetToken implements ginapi.StrictServerInterface.
func (s *server) GetToken(ctx context.Context, r ginapi.GetTokenRequestObject) (ginapi.GetTokenResponseObject, error) {
	ctx, _ = begun(ctx)
	t, err := s.apiToken(ctx, r.Organization, r.Token)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, t.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetToken304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(t.Meta)}}, nil
	}
	return ginapi.GetToken200JSONResponse{Body: apiToken(t), Headers: ginapi.GetToken200ResponseHeaders{ETag: etag(t.Meta)}}, nil
}

// DeleteToken implements ginapi.StrictServerInterface.
func (s *server) DeleteToken(ctx context.Context, r ginapi.DeleteTokenRequestObject) (ginapi.DeleteTokenResponseObject, error) {
	ctx, call := begun(ctx)
	t, err := s.apiToken(ctx, r.Organization, r.Token)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, t.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteAPIToken(ctx, call.act(), t.OrgID, t.ID, expect); err != nil {
		return nil, err
	}
	return ginapi.DeleteToken204Response{}, nil
}
