// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

// Stopper stops a pod, and records that before it does, as a [workload.Stopper]. It returns an error only if it could not record it, and then does nothing.
type Stopper interface {
	Stop(ctx context.Context, act store.Act, w store.Workload, o workload.StopOptions) (workload.Outcome, error)
}

const (
	maxStops  = 100 // pods of one request: each takes the API server some 20 ms
	stopsOnce = 8
)

// StopWorkload implements ginapi.StrictServerInterface.
func (s *server) StopWorkload(ctx context.Context, r ginapi.StopWorkloadRequestObject) (ginapi.StopWorkloadResponseObject, error) {
	ctx, call := begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	w, err := s.store.Workload(ctx, o.ID, r.Workload)
	if err != nil {
		return nil, err
	}
	result, err := s.stop(ctx, call.act(), w, workload.StopOptions{Force: or(r.Params.Force, false), DryRun: or(r.Params.DryRun, false)})
	if err != nil {
		return nil, err
	}
	return ginapi.StopWorkload200JSONResponse(result), nil
}

// StopWorkloads implements ginapi.StrictServerInterface.
func (s *server) StopWorkloads(ctx context.Context, r ginapi.StopWorkloadsRequestObject) (ginapi.StopWorkloadsResponseObject, error) {
	ctx, call := begun(ctx)
	found, err := s.secret(ctx, r.Organization, r.Secret)
	if err != nil {
		return nil, err
	}
	var pods []store.Workload
	more := false
	for q := (store.WorkloadQuery{Secret: found.ID, Limit: store.MaxPage}); !more; {
		page, err := s.store.Workloads(ctx, found.OrgID, q)
		if err != nil {
			return nil, err
		}
		for _, w := range page.Items {
			if or(r.Params.Stale, false) && !isStale(w, found.ID) {
				continue
			}
			if len(pods) == maxStops {
				more = true
				break
			}
			pods = append(pods, w)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	options := workload.StopOptions{Force: or(r.Params.Force, false), DryRun: or(r.Params.DryRun, false)}
	results := make([]contract.StopResult, len(pods))
	group, stopCtx := errgroup.WithContext(ctx)
	group.SetLimit(stopsOnce)
	for i, w := range pods {
		group.Go(func() (err error) {
			results[i], err = s.stop(stopCtx, call.act(), w, options)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return ginapi.StopWorkloads200JSONResponse{Items: results, More: more}, nil
}

// isStale reports whether a pod has something old of one secret.
func isStale(w store.Workload, secretID string) bool {
	return slices.ContainsFunc(w.Containers, func(c store.WorkloadContainer) bool {
		return slices.ContainsFunc(c.Envs, func(e store.WorkloadEnv) bool { return e.SecretID == secretID && e.Stale != store.Current })
	})
}

func (s *server) stop(ctx context.Context, act store.Act, w store.Workload, o workload.StopOptions) (contract.StopResult, error) {
	outcome := workload.OtherCluster
	if s.stopper != nil {
		var err error
		if outcome, err = s.stopper.Stop(ctx, act, w, o); err != nil {
			return contract.StopResult{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	return contract.StopResult{ID: w.ID, Namespace: w.Namespace, Pod: w.Pod, Outcome: contract.StopOutcome(outcome), Message: workload.Outcomes[outcome]}, nil
}
