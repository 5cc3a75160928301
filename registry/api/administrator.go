// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/authz"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const administratorsPath = "/api/v1/administrators/"

// errBootstrapEnded is the bootstrap token after an administrator has signed in. Who holds the token is told why it does not work: nobody else hears of it.
var errBootstrapEnded = errors.New("bootstrap token has ended")

// errUnsettled means that it cannot be said whether somebody is an administrator. The answer is the problem its cause is.
var errUnsettled = errors.New("administrators not settled")

// administration makes administrators of those recorded as such, and of the bootstrap token's holder nobody once it has ended. The first request of an administrator who
// is a person ends it: the request is served after that is written, and refused if it cannot be. An error wraps errUnsettled and its cause, or is errBootstrapEnded.
func (s *server) administration(ctx context.Context, call *call, p authz.Principal) (authz.Principal, error) {
	bootstrap := p.Admin && p.Type == "token"
	if p.Anonymous() || p.Org != "" || p.Admin && !bootstrap {
		return p, nil
	}
	known, err := s.store.Administration(ctx, p.String())
	switch {
	case err != nil:
		return authz.Principal{}, fmt.Errorf("%w: %w", errUnsettled, err)
	case bootstrap && known.BootstrapEnd != nil && !s.breakGlass:
		return authz.Principal{}, errBootstrapEnded
	case bootstrap || !known.Administrator:
		return p, nil
	}
	p.Admin = true
	if known.BootstrapEnd == nil && p.Type == "user" {
		act := store.Act{Actor: p.String(), RequestID: call.id, SourceIP: call.source}
		if err := s.store.EndBootstrap(ctx, act, p.String()); err != nil {
			return authz.Principal{}, fmt.Errorf("%w: %w", errUnsettled, err)
		}
	}
	return p, nil
}

func administrator(a store.Administrator) contract.Administrator {
	return contract.Administrator{ID: a.ID, Principal: a.Principal, CreatedAt: a.CreatedAt, CreatedBy: a.CreatedBy, Etag: etag(a.Meta)}
}

// ListAdministrators implements ginapi.StrictServerInterface.
func (s *server) ListAdministrators(ctx context.Context, r ginapi.ListAdministratorsRequestObject) (ginapi.ListAdministratorsResponseObject, error) {
	ctx, call := begun(ctx)
	page, err := s.store.Administrators(ctx, store.Query{Search: or(r.Params.Q, ""), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)})
	if err != nil {
		return nil, err
	}
	known, err := s.store.Administration(ctx, call.principal.String())
	if err != nil {
		return nil, err
	}
	token := contract.BootstrapToken{Accepted: known.BootstrapEnd == nil || s.breakGlass, BreakGlass: optional(s.breakGlass)}
	if end := known.BootstrapEnd; end != nil {
		token.EndedAt, token.EndedBy = &end.At, &end.By
	}
	return ginapi.ListAdministrators200JSONResponse{Items: each(page.Items, administrator), NextPageToken: optional(page.Next), BootstrapToken: token}, nil
}

// AddAdministrator implements ginapi.StrictServerInterface.
func (s *server) AddAdministrator(ctx context.Context, r ginapi.AddAdministratorRequestObject) (ginapi.AddAdministratorResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	var a store.Administrator
	if err := s.once(ctx, call, func() (err error) {
		a, err = s.store.AddAdministrator(ctx, call.act(), r.Body.Principal)
		return err
	}, &a); err != nil {
		return nil, err
	}
	return ginapi.AddAdministrator201JSONResponse{Body: administrator(a), Headers: ginapi.AddAdministrator201ResponseHeaders{
		ETag: etag(a.Meta), Location: administratorsPath + a.ID,
	}}, nil
}

// GetAdministrator implements ginapi.StrictServerInterface.
func (s *server) GetAdministrator(ctx context.Context, r ginapi.GetAdministratorRequestObject) (ginapi.GetAdministratorResponseObject, error) {
	ctx, _ = begun(ctx)
	a, err := s.store.Administrator(ctx, r.Administrator)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, a.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetAdministrator304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(a.Meta)}}, nil
	}
	return ginapi.GetAdministrator200JSONResponse{Body: administrator(a), Headers: ginapi.GetAdministrator200ResponseHeaders{ETag: etag(a.Meta)}}, nil
}

// RemoveAdministrator implements ginapi.StrictServerInterface.
func (s *server) RemoveAdministrator(ctx context.Context, r ginapi.RemoveAdministratorRequestObject) (ginapi.RemoveAdministratorResponseObject, error) {
	ctx, call := begun(ctx)
	a, err := s.store.Administrator(ctx, r.Administrator)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, a.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.RemoveAdministrator(ctx, call.act(), a.Principal, expect); err != nil {
		return nil, err
	}
	return ginapi.RemoveAdministrator204Response{}, nil
}
