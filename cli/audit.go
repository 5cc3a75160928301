// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newAudit(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "audit", Short: "Read the audit log"}, listEvents(a))
}

func listEvents(a *app) *cobra.Command {
	var (
		action, resource string
		limit            int
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List audit events, newest first", Args: arguments,
		Long: "List audit events, newest first, from the window the registry keeps. What pods received is in -o json, below workload.released.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			items, err := pages(limit, func(size *int, token *string) ([]api.AuditEvent, *string, error) {
				o, err := answer[api.AuditEventList](client.ListAuditEvents(cmd.Context(), org, &api.ListAuditEventsParams{PageSize: size, PageToken: token, Action: nonzero(action), Resource: nonzero(resource)}))
				return o.body.Items, o.body.NextPageToken, err
			})
			if err != nil {
				return err
			}
			return showList(a, auditView, items)
		},
	}
	cmd.Flags().StringVar(&action, "action", "", "only events of this `action`, such as workload.resolve")
	cmd.Flags().StringVar(&resource, "resource", "", "only events about the object of this `id`")
	cmd.Flags().IntVar(&limit, "limit", 100, "print at most this `number`; 0 for all")
	return cmd
}
