// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

var administratorView = output.View[api.Administrator]{
	Kind: "administrator", Name: func(a api.Administrator) string { return a.Principal },
	Columns: []output.Column[api.Administrator]{
		{Header: "PRINCIPAL", Cell: func(a api.Administrator) string { return a.Principal }},
		{Header: "ADDED", Cell: func(a api.Administrator) string { return output.Time(a.CreatedAt) }},
		{Header: "BY", Cell: func(a api.Administrator) string { return a.CreatedBy }},
		{Header: "ID", Wide: true, Cell: func(a api.Administrator) string { return a.ID }},
	},
}

func newAdministrators(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "admin", Aliases: []string{"admins", "administrator"}, Short: "Manage administrators: who may administer the installation"},
		listAdministrators(a), addAdministrator(a), removeAdministrator(a))
}

func administrators(ctx context.Context, client *api.Client, f filter) ([]api.Administrator, error) {
	return pages(f.limit, func(size *int, token *string) ([]api.Administrator, *string, error) {
		o, err := answer[api.AdministratorList](client.ListAdministrators(ctx, &api.ListAdministratorsParams{PageSize: size, PageToken: token, Q: nonzero(f.search)}))
		return o.body.Items, o.body.NextPageToken, err
	})
}

func listAdministrators(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List administrators of the installation", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		items, err := administrators(cmd.Context(), client, f)
		if err != nil {
			return err
		}
		return showList(a, administratorView, items)
	}}
	f.register(cmd, false)
	return cmd
}

func addAdministrator(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "add PRINCIPAL", Short: "Make somebody an administrator of the installation", Args: arguments, PreRunE: a.checkOutput,
		Long: `Make somebody an administrator of the installation.

A principal is user:<issuer>#<subject>, as the page after signing in says, or serviceaccount:<namespace>/<name>. An administrator manages organizations, their members and
quotas, other administrators and everybody's sessions. Nobody reads values. With the first request of an administrator who is a person, the bootstrap token ends.`,
		Example: `  lanyard admin add 'user:https://login.example.com/realms/staff#248289761001'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			o, err := answer[api.Administrator](client.AddAdministrator(cmd.Context(), nil, api.AdministratorCreate{Principal: args[0]}))
			if err != nil {
				return err
			}
			return changed(a, administratorView, o, "added")
		},
	}
}

func removeAdministrator(a *app) *cobra.Command {
	var (
		yes  bool
		only condition
	)
	cmd := &cobra.Command{
		Use: "remove PRINCIPAL", Short: "Remove an administrator of the installation", Args: arguments, ValidArgsFunction: a.completeAdministrators,
		Long: "Remove an administrator of the installation. It counts from the next request on; memberships and sessions stay. Once the bootstrap token has ended, the last administrator stays.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), yes, "Remove administrator "+args[0]+"?"); err != nil {
				return err
			}
			ref, err := administratorRef(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			if _, err := answer[struct{}](client.RemoveAdministrator(cmd.Context(), ref, &api.RemoveAdministratorParams{IfMatch: only.header()})); err != nil {
				return err
			}
			return a.say("administrator/%s removed", args[0])
		},
	}
	registerYes(cmd, &yes)
	only.register(cmd)
	return cmd
}

// administratorRef is as [memberRef].
func administratorRef(ctx context.Context, client *api.Client, principal string) (string, error) {
	if !strings.Contains(principal, "/") {
		return principal, nil
	}
	items, err := administrators(ctx, client, filter{search: principal})
	if err != nil {
		return "", err
	}
	for _, item := range items {
		if item.Principal == principal {
			return item.ID, nil
		}
	}
	return "", failed(NotFound, "`lanyard admin list` shows those there are", fmt.Errorf("%s is no administrator", principal))
}

func (a *app) completeAdministrators(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, _ string) (names []string, err error) {
		items, err := administrators(cmd.Context(), client, filter{search: typed, limit: completionLimit})
		for _, item := range items {
			names = append(names, item.Principal)
		}
		return names, err
	}, false)
}

// examineBootstrap tells administrators whether the bootstrap token is accepted, and others nothing.
func examineBootstrap(ctx context.Context, client *api.Client, add func(check, result, format string, args ...any)) error {
	one := 1
	o, err := answer[api.AdministratorList](client.ListAdministrators(ctx, &api.ListAdministratorsParams{PageSize: &one}))
	if err != nil {
		add("bootstrap", "failed", "%s", err)
		return err
	}
	token := o.body.BootstrapToken
	switch {
	case token.EndedAt != nil && token.Accepted:
		add("bootstrap", "warning", "the registry was started to accept the bootstrap token although it ended at %s", output.Time(*token.EndedAt))
	case token.EndedAt != nil:
		add("bootstrap", "ok", "the bootstrap token ended at %s, when %s signed in", output.Time(*token.EndedAt), text(token.EndedBy))
	case len(o.body.Items) == 0:
		add("bootstrap", "warning", "the bootstrap token counts: nobody is an administrator yet; `lanyard admin add` makes somebody one")
	default:
		add("bootstrap", "warning", "the bootstrap token counts until an administrator signs in")
	}
	return nil
}
