// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

const (
	maxLines = 1000
	// maxChainBytes bounds an answer's memory. The event that passes it is still in the answer.
	maxChainBytes = 4 << 20
	// maxWaiters bounds how many requests wait for an event at once, each with a watch of etcd. The others are answered at once, and ask again.
	maxWaiters = 64
)

// ReadInstallationAuditChain implements ginapi.StrictServerInterface.
func (s *server) ReadInstallationAuditChain(ctx context.Context, r ginapi.ReadInstallationAuditChainRequestObject) (ginapi.ReadInstallationAuditChainResponseObject, error) {
	ctx, _ = begun(ctx)
	body, err := s.chain(ctx, "", r.Params)
	if err != nil {
		return nil, err
	}
	return ginapi.ReadInstallationAuditChain200ApplicationXNdjsonResponse{AuditChainApplicationXNdjsonResponse: body}, nil
}

// ReadAuditChain implements ginapi.StrictServerInterface.
func (s *server) ReadAuditChain(ctx context.Context, r ginapi.ReadAuditChainRequestObject) (ginapi.ReadAuditChainResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	body, err := s.chain(ctx, o.ID, contract.ReadInstallationAuditChainParams(r.Params))
	if err != nil {
		return nil, err
	}
	return ginapi.ReadAuditChain200ApplicationXNdjsonResponse{AuditChainApplicationXNdjsonResponse: body}, nil
}

func (s *server) chain(ctx context.Context, orgID string, p contract.ReadInstallationAuditChainParams) (ginapi.AuditChainApplicationXNdjsonResponse, error) {
	var none ginapi.AuditChainApplicationXNdjsonResponse
	if p.After != nil && p.Last != nil {
		return none, parameter("last", "conflict", "give `after` or `last`, not both")
	}
	wait := time.Duration(or(p.Wait, 0)) * time.Second
	if wait > 0 {
		select {
		case s.waiters <- struct{}{}:
			defer func() { <-s.waiters }()
		default:
			wait = 0
		}
	}
	lines, err := s.store.AuditChain(ctx, orgID, store.ChainQuery{After: or(p.After, 0), Last: p.Last, Limit: or(p.Limit, maxLines), MaxBytes: maxChainBytes, Wait: wait})
	if err != nil {
		return none, err
	}
	var body []byte
	for _, l := range lines {
		body = l.Append(body)
	}
	return ginapi.AuditChainApplicationXNdjsonResponse{Body: bytes.NewReader(body), ContentLength: int64(len(body))}, nil
}

// VerifyInstallationAuditChain implements ginapi.StrictServerInterface.
func (s *server) VerifyInstallationAuditChain(ctx context.Context, _ ginapi.VerifyInstallationAuditChainRequestObject) (ginapi.VerifyInstallationAuditChainResponseObject, error) {
	ctx, call := begun(ctx)
	found, err := s.verification(ctx, call, "")
	return ginapi.VerifyInstallationAuditChain200JSONResponse(found), err
}

// VerifyAuditChain implements ginapi.StrictServerInterface.
func (s *server) VerifyAuditChain(ctx context.Context, r ginapi.VerifyAuditChainRequestObject) (ginapi.VerifyAuditChainResponseObject, error) {
	ctx, call := begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	found, err := s.verification(ctx, call, o.ID)
	return ginapi.VerifyAuditChain200JSONResponse(found), err
}

// verification is an answer also when the chain is broken: that is what was asked for. The store's text names a sequence number and a key, nothing of an event.
func (s *server) verification(ctx context.Context, call *call, orgID string) (contract.AuditVerification, error) {
	events, end, err := s.store.VerifyAudit(ctx, orgID)
	if errors.Is(err, store.ErrIntegrity) {
		call.err = err
		text := err.Error()
		return contract.AuditVerification{Problem: &text}, nil
	}
	return contract.AuditVerification{Ok: err == nil, Events: events, End: end.String()}, err
}
