// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newConsumers(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "consumer", Aliases: []string{"consumers"}, Short: "Manage consumers: what pods claim to receive ENVs"},
		listConsumers(a), createConsumer(a), getConsumer(a), updateConsumer(a), deleteConsumer(a), newEnvs(a), bindConsumer(a), unbindConsumer(a))
}

func listConsumers(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List consumers", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		items, err := pages(f.limit, func(size *int, token *string) ([]api.Consumer, *string, error) {
			o, err := answer[api.ConsumerList](client.ListConsumers(cmd.Context(), org, &api.ListConsumersParams{PageSize: size, PageToken: token, Q: nonzero(f.search), Label: f.labelQuery()}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, consumerView, items)
	}}
	f.register(cmd, true)
	return cmd
}

func createConsumer(a *app) *cobra.Command {
	var (
		about      metadata
		kind       string
		deliveries []string
	)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a consumer", Args: arguments, PreRunE: a.checkOutput,
		Long: "Create a consumer. `consumer env set` gives it ENVs, `consumer bind` says which pods may claim it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			labels, err := about.applied(nil)
			if err != nil {
				return err
			}
			o, err := answer[api.Consumer](client.CreateConsumer(cmd.Context(), org, nil, api.ConsumerCreate{
				Name: args[0], Kind: nonzero(api.ConsumerKind(kind)), Description: nonzero(about.description), Labels: (*api.Labels)(labels),
				Deliveries: deliveryList(cmd, deliveries),
			}))
			if err != nil {
				return err
			}
			return changed(a, consumerView, o, "created")
		},
	}
	about.register(cmd, false)
	registerKind(cmd, &kind)
	registerDeliveries(cmd, &deliveries)
	return cmd
}

func registerDeliveries(cmd *cobra.Command, deliveries *[]string) {
	cmd.Flags().StringSliceVar(deliveries, "deliveries", nil, "the `deliveries` by which pods may receive the ENVs: envfile, exec, direct, file; all if empty")
}

// deliveryList is what the API takes: nil if the flag is not given, empty if it is given as "".
func deliveryList(cmd *cobra.Command, given []string) *[]api.Delivery {
	if !cmd.Flags().Changed("deliveries") {
		return nil
	}
	list := make([]api.Delivery, 0, len(given))
	for _, d := range given {
		list = append(list, api.Delivery(d))
	}
	return &list
}

func registerKind(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "kind", "", "`kind`: service (the default), agent, mcp_server or hook")
}

func getConsumer(a *app) *cobra.Command {
	return &cobra.Command{Use: "get NAME", Short: "Show a consumer", Args: arguments, ValidArgsFunction: a.completeConsumers, RunE: func(cmd *cobra.Command, args []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		o, err := answer[api.Consumer](client.GetConsumer(cmd.Context(), org, args[0], nil))
		if err != nil {
			return err
		}
		return show(a, consumerView, o)
	}}
}

// editConsumer changes a consumer by what change makes of it as it is now.
func editConsumer(cmd *cobra.Command, a *app, name string, only condition, change func(api.Consumer) (api.ConsumerUpdate, error)) (object[api.Consumer], error) {
	client, org, err := a.tenant()
	if err != nil {
		return object[api.Consumer]{}, err
	}
	return edit(only, func() (object[api.Consumer], error) {
		return answer[api.Consumer](client.GetConsumer(cmd.Context(), org, name, nil))
	}, func(current api.Consumer, ifMatch *string) (object[api.Consumer], error) {
		body, err := change(current)
		if err != nil {
			return object[api.Consumer]{}, err
		}
		return answer[api.Consumer](client.UpdateConsumer(cmd.Context(), org, current.ID, &api.UpdateConsumerParams{IfMatch: ifMatch}, body))
	})
}

func updateConsumer(a *app) *cobra.Command {
	var (
		about      metadata
		kind       string
		deliveries []string
		only       condition
	)
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a consumer's metadata", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeConsumers,
		Long: "Change a consumer's metadata. What no flag names stays as it is.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := editConsumer(cmd, a, args[0], only, func(current api.Consumer) (api.ConsumerUpdate, error) {
				labels, err := about.applied(current.Labels)
				return api.ConsumerUpdate{
					Name: nonzero(about.name), Kind: nonzero(api.ConsumerKind(kind)),
					Description: optional(cmd.Flags(), "description", about.description), Labels: (*api.Labels)(labels),
					Deliveries: deliveryList(cmd, deliveries),
				}, err
			})
			if err != nil {
				return err
			}
			return changed(a, consumerView, o, "updated")
		},
	}
	about.register(cmd, true)
	registerKind(cmd, &kind)
	registerDeliveries(cmd, &deliveries)
	cmd.MarkFlagsOneRequired("name", "kind", "deliveries", "description", "label", "remove-label")
	only.register(cmd)
	return cmd
}

func deleteConsumer(a *app) *cobra.Command {
	return removal{
		use: "delete NAME", short: "Delete a consumer", complete: a.completeConsumers, question: "Delete consumer %s of %s?", done: "consumer/%s deleted",
		long: "Delete a consumer. Running pods keep what they have; pods that claim it are refused from now on.",
		remove: func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error {
			return done(client.DeleteConsumer(ctx, org, name, &api.DeleteConsumerParams{IfMatch: ifMatch}))
		},
	}.command(a)
}
