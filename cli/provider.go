// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newProviders(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "provider", Aliases: []string{"providers"}, Short: "Manage providers: where the values of remote secrets are"},
		listProviders(a), createProvider(a), getProvider(a), updateProvider(a), deleteProvider(a), testProvider(a))
}

func listProviders(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List providers, never their credentials", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		items, err := pages(f.limit, func(size *int, token *string) ([]api.Provider, *string, error) {
			o, err := answer[api.ProviderList](client.ListProviders(cmd.Context(), org, &api.ListProvidersParams{PageSize: size, PageToken: token, Q: nonzero(f.search)}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, providerView, items)
	}}
	f.register(cmd, false)
	return cmd
}

func createProvider(a *app) *cobra.Command {
	var (
		kind        string
		config      string
		prefixes    []string
		lastGood    string
		credentials credentialFlags
	)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a provider", Args: arguments, PreRunE: a.checkOutput,
		Long: `Create a provider.

--config-file is a YAML or JSON object with the address and the way to log in, and holds nothing secret: members of the organization may read it. Without
--allowed-prefix secrets may refer to everything the credentials can read. Nobody is asked yet; ` + "`provider test`" + ` connects and logs in.`,
		Example: `  lanyard provider create vault-prod --config-file vault.yaml --allowed-prefix kv/prod --ask-credential secret_id
  lanyard provider create vault-prod --config-file vault.yaml --credentials-file - < credentials.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			body := api.ProviderCreate{Name: args[0], Type: kind, AllowedPrefixes: optional(cmd.Flags(), "allowed-prefix", prefixes)}
			if lastGood != "" {
				body.LastKnownGood = &api.LastKnownGood{MaximumAge: lastGood}
			}
			if body.Config, err = a.readObject(config, "--config-file"); err != nil {
				return err
			}
			if credentials.given() {
				secret, err := credentials.read(cmd.Context(), a, args[0])
				if err != nil {
					return err
				}
				body.Credentials = onWire(secret)
			}
			o, err := answer[api.Provider](client.CreateProvider(cmd.Context(), org, nil, body))
			if err != nil {
				return err
			}
			return changed(a, providerView, o, "created")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&kind, "type", "vault", "`type`: vault, which is also OpenBao")
	flags.StringVar(&config, "config-file", "", "YAML or JSON `file` with the type's configuration, - for standard input")
	flags.StringArrayVar(&prefixes, "allowed-prefix", nil, "`path` that secrets may refer to, with everything below it; repeatable")
	flags.StringVar(&lastGood, "last-known-good", "", "while the provider does not answer, let pods start with a value read at most this `long` ago, 1m to 24h; without it they wait")
	if err := cmd.MarkFlagRequired("config-file"); err != nil { // it stands above
		panic(err)
	}
	credentials.register(cmd)
	return cmd
}

func getProvider(a *app) *cobra.Command {
	return &cobra.Command{Use: "get NAME", Short: "Show a provider, never its credentials", Args: arguments, ValidArgsFunction: a.completeProviders, RunE: func(cmd *cobra.Command, args []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		o, err := answer[api.Provider](client.GetProvider(cmd.Context(), org, args[0], nil))
		if err != nil {
			return err
		}
		return show(a, providerView, o)
	}}
}

func updateProvider(a *app) *cobra.Command {
	var (
		name, kind, config  string
		prefixes            []string
		everything, removed bool
		lastGood            string
		credentials         credentialFlags
		only                condition
	)
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a provider", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeProviders,
		Long: `Change a provider. What no flag names stays as it is; the configuration and the allowed prefixes are each replaced as a whole.

Whoever changes the type or the configuration of a provider with credentials gives the credentials again, or removes them.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			body := api.ProviderUpdate{Name: nonzero(name), Type: nonzero(kind), AllowedPrefixes: optional(cmd.Flags(), "allowed-prefix", prefixes)}
			switch lastGood {
			case "":
			case "off":
				body.LastKnownGood.SetNull()
			default:
				body.LastKnownGood.Set(api.LastKnownGood{MaximumAge: lastGood})
			}
			if everything {
				body.AllowedPrefixes = &api.AllowedPrefixes{}
			}
			if config != "" {
				object, err := a.readObject(config, "--config-file")
				if err != nil {
					return err
				}
				body.Config = &object
			}
			switch {
			case removed:
				body.Credentials.SetNull()
			case credentials.given():
				secret, err := credentials.read(cmd.Context(), a, args[0])
				if err != nil {
					return err
				}
				body.Credentials.Set(*onWire(secret))
			}
			o, err := answer[api.Provider](client.UpdateProvider(cmd.Context(), org, args[0], &api.UpdateProviderParams{IfMatch: only.header()}, body))
			if err != nil {
				return err
			}
			return changed(a, providerView, o, "updated")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "new `name`")
	flags.StringVar(&kind, "type", "", "new `type`")
	flags.StringVar(&config, "config-file", "", "YAML or JSON `file` with the new configuration, - for standard input")
	flags.StringArrayVar(&prefixes, "allowed-prefix", nil, "`path` that secrets may refer to, in place of those before; repeatable")
	flags.BoolVar(&everything, "allow-every-path", false, "let secrets refer to everything the credentials can read")
	flags.StringVar(&lastGood, "last-known-good", "", "how `long` ago a value may have been read that pods start with while the provider does not answer, 1m to 24h, or off")
	flags.BoolVar(&removed, "remove-credentials", false, "remove the credentials")
	credentials.register(cmd)
	cmd.MarkFlagsMutuallyExclusive("allowed-prefix", "allow-every-path")
	cmd.MarkFlagsMutuallyExclusive("credentials-file", "ask-credential", "remove-credentials")
	cmd.MarkFlagsOneRequired("name", "type", "config-file", "allowed-prefix", "allow-every-path", "last-known-good", "credentials-file", "ask-credential", "remove-credentials")
	only.register(cmd)
	return cmd
}

func deleteProvider(a *app) *cobra.Command {
	return removal{
		use: "delete NAME", short: "Delete a provider that no secret refers to", complete: a.completeProviders, question: "Delete provider %s of %s?", done: "provider/%s deleted",
		long: "Delete a provider and its credentials. While secrets refer to it, it is not deleted, and they are listed.",
		remove: func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error {
			return done(client.DeleteProvider(ctx, org, name, &api.DeleteProviderParams{IfMatch: ifMatch}))
		},
	}.command(a)
}
