// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newTokens(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "token", Aliases: []string{"tokens"}, Short: "Manage an organization's API tokens, for programs"},
		listTokens(a), createToken(a), revokeToken(a))
}

func listTokens(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List API tokens, never their text", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		items, err := pages(f.limit, func(size *int, token *string) ([]api.APIToken, *string, error) {
			o, err := answer[api.APITokenList](client.ListTokens(cmd.Context(), org, &api.ListTokensParams{PageSize: size, PageToken: token, Q: nonzero(f.search)}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, tokenView, items)
	}}
	f.register(cmd, false)
	return cmd
}

func createToken(a *app) *cobra.Command {
	var role, expires string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create an API token and print it, the only time", Args: arguments,
		Long: `Create an API token and print it, the only time: the registry keeps a hash.

Nothing but the token goes to standard output, unless -o asks for json, yaml or jsonpath, where it is the field token. It is the one secret this program
prints. The token belongs to the organization, lives 90 days or until --expires-at, and cannot be changed: to replace one, create another, deploy it, revoke the
old one.`,
		Example: `  (umask 077; lanyard token create ci --role owner > ci.token)
  lanyard token create ci | gh secret set LANYARD_TOKEN`,
		PreRunE: func(cmd *cobra.Command, args []string) error {
			switch format, _, _ := strings.Cut(a.flags.output, "="); format {
			case "table", "wide", "name", "etag":
				return misuse("leave -o out, or use json, yaml or jsonpath", "-o %s does not show the token, and nothing else ever will", format)
			}
			return a.checkOutput(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			body := api.APITokenCreate{Name: args[0], Role: api.Role(role)}
			if expires != "" {
				at, err := time.Parse(time.RFC3339, expires)
				if err != nil {
					return misuse("", "--expires-at takes a time such as 2027-01-31T00:00:00Z")
				}
				body.ExpiresAt = &at
			}
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.APITokenCreated](client.CreateToken(cmd.Context(), org, nil, body))
			if err != nil {
				return err
			}
			return showToken(a, o)
		},
	}
	registerRole(cmd, &role)
	cmd.Flags().StringVar(&expires, "expires-at", "", "`time` at which it ends, at most a year from now")
	return cmd
}

// showToken prints the text of a new token. Nothing else of this program prints a secret.
func showToken(a *app, o object[api.APITokenCreated]) error {
	var err error
	if a.flags.output == "" {
		err = a.say("%s", o.body.Token)
	} else {
		err = show(a, output.View[api.APITokenCreated]{}, o) // a document, which needs no columns
	}
	if err != nil {
		return located(fmt.Sprintf("showing the token, which exists (`lanyard token revoke %s`)", o.body.Name), err)
	}
	fmt.Fprintf(a.Err, "lanyard: hint: this is the only time that token %s is shown; it ends %s\n", output.Printable(o.body.Name), output.Time(o.body.ExpiresAt))
	return nil
}

func revokeToken(a *app) *cobra.Command {
	return removal{
		use: "revoke NAME", short: "Revoke an API token", complete: a.completeTokens, question: "Revoke token %s of %s?", done: "token/%s revoked",
		long: "Revoke an API token, by name or id: every request that begins after the answer is refused. Of a token that leaked, the id is what follows lyd_.",
		remove: func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error {
			return done(client.DeleteToken(ctx, org, name, &api.DeleteTokenParams{IfMatch: ifMatch}))
		},
	}.command(a)
}
