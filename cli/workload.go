// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newWorkloads(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "workload", Aliases: []string{"workloads"}, Short: "See and stop the running pods that received values"}, listWorkloads(a), getWorkload(a), stopWorkload(a))
}

func listWorkloads(a *app) *cobra.Command {
	var (
		consumer, secret, namespace string
		stale                       bool
		limit                       int
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List the running pods that received values", Args: arguments,
		Long: `List the running pods that received values.

A pod keeps what it received until it is restarted. It is stale if it would receive something else by now, such as a newer version.`,
		Example: "  lanyard workload list --secret stripe-api-key --stale",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			params := &api.ListWorkloadsParams{Consumer: nonzero(consumer), Secret: nonzero(secret), Namespace: nonzero(namespace)}
			if cmd.Flags().Changed("stale") {
				params.Stale = &stale
			}
			items, err := workloads(cmd.Context(), client, org, params, limit)
			if err != nil {
				return err
			}
			return showList(a, workloadView, items)
		},
	}
	cmd.Flags().StringVar(&consumer, "consumer", "", "only pods that claimed the consumer of this `name`")
	cmd.Flags().StringVar(&secret, "secret", "", "only pods that received the secret of this `name`")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only pods of this `namespace`")
	cmd.Flags().BoolVar(&stale, "stale", false, "only pods that are stale; --stale=false for the others")
	cmd.Flags().IntVar(&limit, "limit", 0, "print at most this `number`; 0 for all")
	return cmd
}

func workloads(ctx context.Context, client *api.Client, org string, params *api.ListWorkloadsParams, limit int) ([]api.Workload, error) {
	return pages(limit, func(size *int, token *string) ([]api.Workload, *string, error) {
		params.PageSize, params.PageToken = size, token
		o, err := answer[api.WorkloadList](client.ListWorkloads(ctx, org, params))
		return o.body.Items, o.body.NextPageToken, err
	})
}

func getWorkload(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get POD", Short: "Show what a running pod received, by names and versions", Args: arguments,
		Long: `Show what a running pod received, by names and versions. POD is <namespace>/<name> or the pod's uid.

LAST KNOWN GOOD is when a provider gave a value that was old: it did not answer when the pod started, and the organization lets pods start with what it said last.`,
		Example: "  lanyard workload get billing/api-7c9f-x2x7p",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := findWorkload(cmd.Context(), client, org, args[0])
			if err != nil {
				return err
			}
			if a.flags.output != "" && a.flags.output != "table" && a.flags.output != "wide" {
				return show(a, workloadView, o)
			}
			return showList(a, receivedView, received(o.body))
		},
	}
}

// findWorkload finds a pod by its uid or by <namespace>/<name>.
func findWorkload(ctx context.Context, client *api.Client, org, pod string) (object[api.Workload], error) {
	namespace, name, named := strings.Cut(pod, "/")
	if !named {
		return answer[api.Workload](client.GetWorkload(ctx, org, pod))
	}
	found, err := workloads(ctx, client, org, &api.ListWorkloadsParams{Namespace: &namespace, Pod: &name}, 0)
	switch {
	case err != nil:
		return object[api.Workload]{}, err
	case len(found) == 0:
		return object[api.Workload]{}, failed(NotFound, "`kubectl describe pod` tells why a pod received nothing", fmt.Errorf("no running pod %s received values of this organization", output.Printable(pod)))
	case len(found) > 1:
		return object[api.Workload]{}, failed(Failure, "`lanyard workload list -o wide` has the uids", errors.New("several pods have this name"))
	}
	return object[api.Workload]{body: found[0]}, nil
}

// receivedEnv is one ENV of a workload, for the table.
type receivedEnv struct {
	container api.WorkloadContainer
	env       api.WorkloadEnv
}

func received(w api.Workload) []receivedEnv {
	var envs []receivedEnv
	for _, c := range w.Containers {
		for _, e := range c.Envs {
			envs = append(envs, receivedEnv{c, e})
		}
	}
	return envs
}

var receivedView = output.View[receivedEnv]{
	Kind: "env", Name: func(r receivedEnv) string { return r.env.Name },
	Columns: []output.Column[receivedEnv]{
		{Header: "CONTAINER", Cell: func(r receivedEnv) string { return r.container.Name }},
		{Header: "CONSUMER", Cell: func(r receivedEnv) string { return r.container.Consumer }},
		{Header: "ENV", Cell: func(r receivedEnv) string { return r.env.Name }},
		{Header: "SECRET", Cell: func(r receivedEnv) string {
			if r.env.Secret == nil {
				return r.env.SecretID
			}
			return *r.env.Secret
		}},
		{Header: "VERSION", Cell: func(r receivedEnv) string { return output.Text(r.env.Version) }},
		{Header: "STALE", Cell: func(r receivedEnv) string { return output.Text(r.env.Stale) }},
		{Header: "LAST KNOWN GOOD", Cell: func(r receivedEnv) string { return output.OptionalTime(r.env.FetchedAt) }},
		{Header: "RECEIVED", Cell: func(r receivedEnv) string { return output.Time(r.container.ReceivedAt) }},
	},
}

var workloadView = output.View[api.Workload]{
	Kind: "workload", Name: func(w api.Workload) string { return w.Namespace + "/" + w.Pod },
	Columns: []output.Column[api.Workload]{
		{Header: "NAMESPACE", Cell: func(w api.Workload) string { return w.Namespace }},
		{Header: "POD", Cell: func(w api.Workload) string { return w.Pod }},
		{Header: "CONSUMERS", Cell: func(w api.Workload) string {
			var names []string
			for _, c := range w.Containers {
				if !slices.Contains(names, c.Consumer) {
					names = append(names, c.Consumer)
				}
			}
			return strings.Join(names, ",")
		}},
		{Header: "STALE", Cell: staleText},
		{Header: "RECEIVED", Cell: func(w api.Workload) string { return output.Time(w.ReceivedAt) }},
		{Header: "SERVICE ACCOUNT", Wide: true, Cell: func(w api.Workload) string { return w.ServiceAccount }},
		{Header: "NODE", Wide: true, Cell: func(w api.Workload) string { return output.Text(w.Node) }},
		{Header: "CLUSTER", Wide: true, Cell: func(w api.Workload) string { return w.Cluster }},
		{Header: "ID", Wide: true, Cell: func(w api.Workload) string { return w.ID }},
	},
}

// staleText names the secrets of which a pod has something old.
func staleText(w api.Workload) string {
	var names []string
	for _, r := range received(w) {
		name := r.env.SecretID
		if r.env.Secret != nil {
			name = *r.env.Secret
		}
		if r.env.Stale != nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
