// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func stopWorkload(a *app) *cobra.Command {
	var force, dry, yes bool
	cmd := &cobra.Command{
		Use: "stop POD", Short: "Stop a running pod, so that its controller starts another with what is active now", Args: arguments, PreRunE: a.checkOutput,
		Long: `Stop a running pod, so that its controller starts another with what is active now. POD is <namespace>/<name> or the pod's uid.

The pod is evicted by the registry, so disruption budgets hold, in namespaces where the operator allows it. The exit code is 0 only if it is stopped or gone, and 5 if not.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			found, err := findWorkload(cmd.Context(), client, org, args[0])
			if err != nil {
				return err
			}
			if !dry {
				if err := a.confirm(cmd.Context(), yes, "Stop pod "+workloadView.Name(found.body)+"?"); err != nil {
					return err
				}
			}
			o, err := answer[api.StopResult](client.StopWorkload(cmd.Context(), org, found.body.ID, &api.StopWorkloadParams{Force: nonzero(force), DryRun: nonzero(dry)}))
			if err != nil {
				return err
			}
			return showStops(a, []api.StopResult{o.body}, false)
		},
	}
	registerStop(cmd.Flags(), &force, &dry)
	registerYes(cmd, &yes)
	return cmd
}

func stopWorkloads(a *app) *cobra.Command {
	var force, dry, stale, yes bool
	cmd := &cobra.Command{
		Use: "stop-workloads NAME", Short: "Stop the running pods that received a secret", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: `Stop the running pods that received a secret, so that their controllers start others with what is active now. Before it asks, it shows what would be stopped.

The pods are evicted by the registry, so disruption budgets hold, in namespaces where the operator allows it. The exit code is 0 only if all are stopped or gone, and 5 if not.`,
		Example: "  lanyard secret stop-workloads stripe-api-key --stale --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			stop := func(dry bool) (api.StopResultList, error) {
				o, err := answer[api.StopResultList](client.StopWorkloads(cmd.Context(), org, args[0], &api.StopWorkloadsParams{
					Force: nonzero(force), DryRun: nonzero(dry), Stale: nonzero(stale),
				}))
				return o.body, err
			}
			if !dry && !yes {
				planned, err := stop(true)
				if err != nil {
					return err
				}
				if err := output.List(output.Printer{Out: a.Err}, stopView, planned.Items); err != nil {
					return err
				}
				if err := a.confirm(cmd.Context(), yes, fmt.Sprintf("Stop the pods of these that can be stopped (%d)?", count(planned.Items, api.StopOutcomeWouldStop))); err != nil {
					return err
				}
			}
			done, err := stop(dry)
			if err != nil {
				return err
			}
			return showStops(a, done.Items, done.More)
		},
	}
	registerStop(cmd.Flags(), &force, &dry)
	cmd.Flags().BoolVar(&stale, "stale", false, "leave out pods that have what a start would give them now")
	registerYes(cmd, &yes)
	return cmd
}

func registerStop(flags *pflag.FlagSet, force, dry *bool) {
	flags.BoolVar(force, "force", false, "delete instead of evict: against disruption budgets, and although nothing may start another")
	flags.BoolVar(dry, "dry-run", false, "have everything checked, and do nothing")
}

// showStops prints what became of pods, and returns an error if one was not stopped.
func showStops(a *app, results []api.StopResult, more bool) error {
	if err := showList(a, stopView, results); err != nil {
		return err
	}
	going := count(results, api.StopOutcomeStopped) + count(results, api.StopOutcomeWouldStop) + count(results, api.StopOutcomeGone)
	switch {
	case going < len(results):
		return failed(Conflict, "", fmt.Errorf("%d of %d pods are not stopped", len(results)-going, len(results)))
	case more:
		return failed(Conflict, "repeat the command when these are gone", fmt.Errorf("there are more than these %d pods", len(results)))
	}
	return nil
}

func count(results []api.StopResult, outcome api.StopOutcome) int {
	n := 0
	for _, r := range results {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

var stopView = output.View[api.StopResult]{
	Kind: "workload", Name: func(r api.StopResult) string { return r.Namespace + "/" + r.Pod },
	Columns: []output.Column[api.StopResult]{
		{Header: "NAMESPACE", Cell: func(r api.StopResult) string { return r.Namespace }},
		{Header: "POD", Cell: func(r api.StopResult) string { return r.Pod }},
		{Header: "OUTCOME", Cell: func(r api.StopResult) string { return string(r.Outcome) }},
		{Header: "MESSAGE", Cell: func(r api.StopResult) string { return r.Message }},
		{Header: "ID", Wide: true, Cell: func(r api.StopResult) string { return r.ID }},
	},
}
