// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newOrganizations(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "org", Aliases: []string{"organization", "orgs"}, Short: "Manage organizations"},
		listOrganizations(a), createOrganization(a), getOrganization(a), updateOrganization(a), deleteOrganization(a))
}

func listOrganizations(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List organizations", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		items, err := pages(f.limit, func(size *int, token *string) ([]api.Organization, *string, error) {
			o, err := answer[api.OrganizationList](client.ListOrganizations(cmd.Context(), &api.ListOrganizationsParams{PageSize: size, PageToken: token, Q: nonzero(f.search)}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, organizationView, items)
	}}
	f.register(cmd, false)
	return cmd
}

func createOrganization(a *app) *cobra.Command {
	var displayName string
	cmd := &cobra.Command{
		Use: "create SLUG", Short: "Create an organization", Args: arguments, PreRunE: a.checkOutput,
		Long: "Create an organization.\n\nThe slug, 1 to 63 of a-z, 0-9 and '-', is part of how pods name its consumers, so choose it for good.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			o, err := answer[api.Organization](client.CreateOrganization(cmd.Context(), nil, api.OrganizationCreate{Slug: args[0], DisplayName: nonzero(displayName)}))
			if err != nil {
				return err
			}
			return changed(a, organizationView, o, "created")
		},
	}
	cmd.Flags().StringVar(&displayName, "display-name", "", "`name` for people")
	return cmd
}

func getOrganization(a *app) *cobra.Command {
	return &cobra.Command{Use: "get SLUG", Short: "Show an organization", Args: arguments, ValidArgsFunction: a.completeOrganizations, RunE: func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		o, err := answer[api.Organization](client.GetOrganization(cmd.Context(), args[0], nil))
		if err != nil {
			return err
		}
		return show(a, organizationView, o)
	}}
}

// slugOf is what people call an organization; or its id, if it cannot be read now, so that what was done is told all the same.
func slugOf(ctx context.Context, client *api.Client, id string) string {
	o, err := answer[api.Organization](client.GetOrganization(ctx, id, nil))
	if err != nil {
		return id
	}
	return o.body.Slug
}

func updateOrganization(a *app) *cobra.Command {
	var (
		displayName              string
		secrets, versions, bytes int64
		only                     condition
	)
	cmd := &cobra.Command{
		Use: "update SLUG", Short: "Change an organization", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeOrganizations,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			flags := cmd.Flags()
			body := api.OrganizationUpdate{DisplayName: optional(flags, "display-name", displayName)}
			if quota := (api.Quota{Secrets: optional(flags, "max-secrets", secrets), Versions: optional(flags, "max-versions", versions), Bytes: optional(flags, "max-bytes", bytes)}); quota != (api.Quota{}) {
				body.Quota = &quota
			}
			o, err := answer[api.Organization](client.UpdateOrganization(cmd.Context(), args[0], &api.UpdateOrganizationParams{IfMatch: only.header()}, body))
			if err != nil {
				return err
			}
			return changed(a, organizationView, o, "updated")
		},
	}
	cmd.Flags().StringVar(&displayName, "display-name", "", "`name` for people")
	cmd.Flags().Int64Var(&secrets, "max-secrets", 0, "how many secrets it may have; 0 for any `number`. Quotas are set by administrators of the installation")
	cmd.Flags().Int64Var(&versions, "max-versions", 0, "how many versions its secrets may have together; 0 for any `number`")
	cmd.Flags().Int64Var(&bytes, "max-bytes", 0, "how many bytes its values may have together, encrypted; 0 for any `number`")
	cmd.MarkFlagsOneRequired("display-name", "max-secrets", "max-versions", "max-bytes")
	only.register(cmd)
	return cmd
}

func deleteOrganization(a *app) *cobra.Command {
	var (
		yes, force bool
		only       condition
	)
	cmd := &cobra.Command{
		Use: "delete SLUG", Short: "Delete an organization, with everything in it on request", Args: arguments, ValidArgsFunction: a.completeOrganizations,
		Long: `Delete an organization for good.

What is in it is shown first. If something of it needs force, the organization is deleted with everything in it if you type its slug when asked, or with --yes --force. Its running
pods keep what they have received; nothing starts with it again. Leases of dynamic credentials are revoked. Nothing can be restored.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			have, err := answer[api.OrganizationContents](client.GetOrganizationContents(cmd.Context(), args[0]))
			if err != nil {
				return err
			}
			needsForce := reportContents(a.Err, have.body.Items)
			switch {
			case needsForce && !yes && a.Terminal != nil:
				if err := a.confirmText(cmd.Context(), args[0], "Delete organization "+args[0]+" with everything in it? Type its slug: "); err != nil {
					return err
				}
				force = true
			default:
				if err := a.confirm(cmd.Context(), yes, "Delete organization "+args[0]+"?"); err != nil {
					return err
				}
			}
			params := &api.DeleteOrganizationParams{IfMatch: only.header(), Force: nonzero(force)}
			if force {
				params.Confirm = &args[0]
			}
			if err := done(client.DeleteOrganization(cmd.Context(), args[0], params)); err != nil {
				return err
			}
			return a.say("organization/%s deleted", args[0])
		},
	}
	registerYes(cmd, &yes)
	cmd.Flags().BoolVar(&force, "force", false, "delete it with everything in it")
	only.register(cmd)
	return cmd
}

// reportContents shows a person what would go with an organization, and reports whether something of it needs force.
func reportContents(w io.Writer, have []api.OrganizationContent) (needsForce bool) {
	shown := slices.DeleteFunc(slices.Clone(have), func(c api.OrganizationContent) bool { return c.Count == 0 })
	if len(shown) > 0 {
		_ = output.List(output.Printer{Out: w}, contentView, shown) // stderr may be gone
	}
	return slices.ContainsFunc(have, func(c api.OrganizationContent) bool { return c.NeedsForce })
}

func registerYes(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; needed where standard input is not a terminal")
}
