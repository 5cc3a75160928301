// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// ListInstallationAuditEvents implements ginapi.StrictServerInterface.
func (s *server) ListInstallationAuditEvents(ctx context.Context, r ginapi.ListInstallationAuditEventsRequestObject) (ginapi.ListInstallationAuditEventsResponseObject, error) {
	ctx, _ = begun(ctx)
	list, err := s.auditEvents(ctx, "", r.Params)
	if err != nil {
		return nil, err
	}
	return ginapi.ListInstallationAuditEvents200JSONResponse{AuditEventListJSONResponse: ginapi.AuditEventListJSONResponse(list)}, nil
}

// ListAuditEvents implements ginapi.StrictServerInterface.
func (s *server) ListAuditEvents(ctx context.Context, r ginapi.ListAuditEventsRequestObject) (ginapi.ListAuditEventsResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	list, err := s.auditEvents(ctx, o.ID, contract.ListInstallationAuditEventsParams(r.Params))
	if err != nil {
		return nil, err
	}
	return ginapi.ListAuditEvents200JSONResponse{AuditEventListJSONResponse: ginapi.AuditEventListJSONResponse(list)}, nil
}

func (s *server) auditEvents(ctx context.Context, orgID string, p contract.ListInstallationAuditEventsParams) (contract.AuditEventList, error) {
	page, err := s.store.AuditEvents(ctx, orgID, store.AuditQuery{
		After: or(p.PageToken, ""), Limit: or(p.PageSize, 0), Action: audit.Action(or(p.Action, "")), Outcome: audit.Outcome(or(p.Outcome, "")),
		Actor: or(p.Actor, ""), ResourceID: or(p.Resource, ""), RequestID: or(p.RequestID, ""), Since: or(p.Since, time.Time{}), Until: or(p.Until, time.Time{}),
	})
	if err != nil {
		return contract.AuditEventList{}, err
	}
	return contract.AuditEventList{Items: each(page.Items, auditEvent), NextPageToken: optional(page.Next)}, nil
}

func auditEvent(e audit.Event) contract.AuditEvent {
	out := contract.AuditEvent{
		ID: e.ID, Time: e.Time, RequestID: optional(e.RequestID), Actor: e.Actor, SourceIP: optional(e.SourceIP), OrganizationID: optional(e.OrgID),
		Action: string(e.Action), Outcome: contract.AuditOutcome(e.Outcome), Reason: optional(e.Reason),
		ResourceKind: optional(e.ResourceKind), ResourceID: optional(e.ResourceID), ResourceName: optional(e.ResourceName), Version: optional(e.Version),
	}
	if len(e.Changed) > 0 {
		out.Changed = &e.Changed
	}
	if w := e.Workload; w != nil {
		out.Workload = &contract.AuditWorkload{
			Cluster: w.Cluster, Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Pod: w.Pod, PodUID: w.PodUID,
			Node: optional(w.Node), TokenID: optional(w.TokenID),
		}
		if len(w.Released) > 0 {
			released := each(w.Released, func(g audit.Grant) contract.AuditGrant {
				return contract.AuditGrant{Container: g.Container, Consumer: optional(g.Consumer), ConsumerID: optional(g.ConsumerID), Env: g.Env, Secret: optional(g.Secret), SecretID: optional(g.SecretID), Version: optional(g.Version), Leased: optional(g.Leased), LastKnownGood: optional(g.LastKnownGood), FetchedAt: optional(g.FetchedAt)}
			})
			out.Workload.Released = &released
		}
	}
	return out
}
