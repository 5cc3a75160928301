// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// ListWorkloads implements ginapi.StrictServerInterface.
func (s *server) ListWorkloads(ctx context.Context, r ginapi.ListWorkloadsRequestObject) (ginapi.ListWorkloadsResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	p := r.Params
	page, err := s.store.Workloads(ctx, o.ID, store.WorkloadQuery{
		Consumer: or(p.Consumer, ""), Secret: or(p.Secret, ""), Cluster: or(p.Cluster, ""), Namespace: or(p.Namespace, ""), Pod: or(p.Pod, ""), Stale: p.Stale,
		After: or(p.PageToken, ""), Limit: or(p.PageSize, 0),
	})
	if err != nil {
		return nil, err
	}
	return ginapi.ListWorkloads200JSONResponse{Items: each(page.Items, workloadOf), NextPageToken: optional(page.Next)}, nil
}

// GetWorkload implements ginapi.StrictServerInterface.
func (s *server) GetWorkload(ctx context.Context, r ginapi.GetWorkloadRequestObject) (ginapi.GetWorkloadResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	w, err := s.store.Workload(ctx, o.ID, r.Workload)
	if err != nil {
		return nil, err
	}
	return ginapi.GetWorkload200JSONResponse(workloadOf(w)), nil
}

func workloadOf(w store.Workload) contract.Workload {
	return contract.Workload{
		ID: w.ID, OrganizationID: w.OrgID, Cluster: w.Cluster, Namespace: w.Namespace, Pod: w.Pod, Node: optional(w.Node), ServiceAccount: w.ServiceAccount,
		ReceivedAt: w.ReceivedAt, Stale: w.Stale(),
		Containers: each(w.Containers, func(c store.WorkloadContainer) contract.WorkloadContainer {
			return contract.WorkloadContainer{
				Name: c.Name, Consumer: c.Consumer, ReceivedAt: c.ReceivedAt,
				Envs: each(c.Envs, func(e store.WorkloadEnv) contract.WorkloadEnv {
					return contract.WorkloadEnv{
						Name: e.Name, Secret: optional(e.Secret), SecretID: e.SecretID, Version: optional(e.Version), Stale: optional(contract.Staleness(e.Stale)), LastKnownGood: optional(e.LastKnownGood), FetchedAt: optional(e.FetchedAt),
					}
				}),
			}
		}),
	}
}
