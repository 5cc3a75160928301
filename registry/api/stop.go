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
	var result contract.StopResult
	if err := s.once(ctx, call, func() error {
		o, err := s.org(ctx, r.Organization)
		if err != nil {
			return err
		}
		w, err := s.store.Workload(ctx, o.ID, r.Workload)
		if err != nil {
			return err
		}
		if result, err = s.stop(ctx, call.act(), w, workload.StopOptions{Force: or(r.Params.Force, false), DryRun: or(r.Params.DryRun, false)}); err != nil {
			return err
		}
		return s.store.Keep(ctx, call.act(), &result)
	}, &result); err != nil {
		return nil, err
	}
	return ginapi.StopWorkload200JSONResponse(result), nil
}

// StopWorkloads implements ginapi.StrictServerInterface.
func (s *server) StopWorkloads(ctx context.Context, r ginapi.StopWorkloadsRequestObject) (ginapi.StopWorkloadsResponseObject, error) {
	ctx, call := begun(ctx)
	var answer contract.StopResultList
	if err := s.once(ctx, call, func() error {
		found, err := s.secret(ctx, r.Organization, r.Secret)
		if err != nil {
			return err
		}
		pods, more, err := s.holders(ctx, found, or(r.Params.Stale, false))
		if err != nil {
			return err
		}
		answer = contract.StopResultList{Items: make([]contract.StopResult, len(pods)), More: more}
		options := workload.StopOptions{Force: or(r.Params.Force, false), DryRun: or(r.Params.DryRun, false)}
		group, stopCtx := errgroup.WithContext(ctx)
		group.SetLimit(stopsOnce)
		for i, w := range pods {
			group.Go(func() (err error) {
				answer.Items[i], err = s.stop(stopCtx, call.act(), w, options)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		return s.store.Keep(ctx, call.act(), &answer)
	}, &answer); err != nil {
		return nil, err
	}
	return ginapi.StopWorkloads200JSONResponse(answer), nil
}

// holders returns the running pods that have a secret, or of those the stale ones, up to as many as one request may stop, and whether there are more.
func (s *server) holders(ctx context.Context, secret store.Secret, stale bool) (pods []store.Workload, more bool, err error) {
	for q := (store.WorkloadQuery{Secret: secret.ID, Limit: store.MaxPage}); ; {
		page, err := s.store.Workloads(ctx, secret.OrgID, q)
		if err != nil {
			return nil, false, err
		}
		for _, w := range page.Items {
			if stale && !isStale(w, secret.ID) {
				continue
			}
			if len(pods) == maxStops {
				return pods, true, nil
			}
			pods = append(pods, w)
		}
		if q.After = page.Next; q.After == "" {
			return pods, false, nil
		}
	}
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
