// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func contractSession(call *call, s store.Session) contract.Session {
	return contract.Session{
		ID: s.ID, Kind: string(s.Kind), Current: s.ID == call.principal.Session, Client: optional(s.Client), SourceIP: optional(s.SourceIP),
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt, IdleSeconds: int64(s.Idle / time.Second),
	}
}

// ListSessions implements ginapi.StrictServerInterface.
func (s *server) ListSessions(ctx context.Context, _ ginapi.ListSessionsRequestObject) (ginapi.ListSessionsResponseObject, error) {
	ctx, call := begun(ctx)
	list, err := s.store.Sessions(ctx, call.principal.String())
	if err != nil {
		return nil, err
	}
	return ginapi.ListSessions200JSONResponse{Items: each(list, func(n store.Session) contract.Session { return contractSession(call, n) })}, nil
}

// ListSessionsOf implements ginapi.StrictServerInterface.
func (s *server) ListSessionsOf(ctx context.Context, r ginapi.ListSessionsOfRequestObject) (ginapi.ListSessionsOfResponseObject, error) {
	ctx, call := begun(ctx)
	list, err := s.store.Sessions(ctx, r.Params.Principal)
	if err != nil {
		return nil, err
	}
	return ginapi.ListSessionsOf200JSONResponse{Items: each(list, func(n store.Session) contract.Session { return contractSession(call, n) })}, nil
}

// RevokeSessionOf implements ginapi.StrictServerInterface.
func (s *server) RevokeSessionOf(ctx context.Context, r ginapi.RevokeSessionOfRequestObject) (ginapi.RevokeSessionOfResponseObject, error) {
	ctx, call := begun(ctx)
	if err := s.store.RevokeSession(ctx, call.act(), r.Params.Principal, r.Session); err != nil {
		return nil, err
	}
	return ginapi.RevokeSessionOf204Response{}, nil
}

// RevokeSession implements ginapi.StrictServerInterface.
func (s *server) RevokeSession(ctx context.Context, r ginapi.RevokeSessionRequestObject) (ginapi.RevokeSessionResponseObject, error) {
	ctx, call := begun(ctx)
	if err := s.store.RevokeSession(ctx, call.act(), call.principal.String(), r.Session); err != nil {
		return nil, err
	}
	return ginapi.RevokeSession204Response{}, nil
}
