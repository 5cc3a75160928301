// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

var federationView = output.View[api.Federation]{
	Kind: "federation", Name: func(f api.Federation) string { return f.Name },
	Columns: []output.Column[api.Federation]{
		{Header: "NAME", Cell: func(f api.Federation) string { return f.Name }},
		{Header: "ISSUER", Cell: func(f api.Federation) string { return f.Issuer }},
		{Header: "CLAIMS", Cell: func(f api.Federation) string { return claimText(f.Claims) }},
		{Header: "ROLE", Cell: func(f api.Federation) string { return string(f.Role) }},
		{Header: "LIFETIME", Cell: func(f api.Federation) string { return (time.Duration(f.LifetimeSeconds) * time.Second).String() }},
		{Header: "AUDIENCE", Wide: true, Cell: func(f api.Federation) string { return f.Audience }},
		{Header: "CREATED", Wide: true, Cell: func(f api.Federation) string { return output.Time(f.CreatedAt) }},
		{Header: "BY", Wide: true, Cell: func(f api.Federation) string { return f.CreatedBy }},
		{Header: "ID", Wide: true, Cell: func(f api.Federation) string { return f.ID }},
	},
}

func claimText(claims map[string]string) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		texts = append(texts, name+"="+claims[name])
	}
	return strings.Join(texts, ",")
}

func newFederations(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "federation", Aliases: []string{"federations"}, Short: "Let in CI jobs by the ID tokens their forge gives them"},
		listFederations(a), createFederation(a), getFederation(a), deleteFederation(a))
}

func listFederations(a *app) *cobra.Command {
	var f filter
	cmd := &cobra.Command{Use: "list", Short: "List federations", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		items, err := pages(f.limit, func(size *int, token *string) ([]api.Federation, *string, error) {
			o, err := answer[api.FederationList](client.ListFederations(cmd.Context(), org, &api.ListFederationsParams{PageSize: size, PageToken: token, Q: nonzero(f.search)}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, federationView, items)
	}}
	f.register(cmd, false)
	return cmd
}

func createFederation(a *app) *cobra.Command {
	var (
		body   api.FederationCreate
		role   string
		claims []string
		life   time.Duration
	)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Trust the ID tokens of certain jobs", Args: arguments, PreRunE: a.checkOutput,
		Long: `Trust the ID tokens of certain jobs: those to whom the issuer gives one for this audience alone, with these claims. ` + "`lanyard login --federated`" + ` in the job exchanges it
for a bearer with the role in this organization, which ends after --lifetime.

A --claim is name=text: equal, or with a *. One of them says whose jobs are meant (sub, repository, project_path, …), since an issuer signs for everybody who has an account there.
A * at the end stands for whatever follows; before the end, for characters other than : and /. The operator of the installation says which issuers there may be. A federation cannot
be changed: to replace one, delete it, which ends what it gave out, and create another.`,
		Example: `  lanyard federation create app-main --issuer https://token.actions.githubusercontent.com --audience https://lanyard.example \
    --claim sub=repo:acme/app:ref:refs/heads/main --role owner
  lanyard federation create app --issuer https://gitlab.com --audience https://lanyard.example --claim project_path=acme/app --claim ref_protected=true`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name, body.Role, body.Claims = args[0], api.Role(role), make(map[string]string, len(claims))
			for _, claim := range claims {
				name, text, ok := strings.Cut(claim, "=")
				if _, twice := body.Claims[name]; !ok || twice {
					return misuse("", "--claim takes name=text, each name once: %s", claim)
				}
				body.Claims[name] = text
			}
			if life%time.Second != 0 {
				return misuse("", "--lifetime takes whole seconds")
			}
			body.LifetimeSeconds = nonzero(int64(life / time.Second))
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.Federation](client.CreateFederation(cmd.Context(), org, nil, body))
			if err != nil {
				return err
			}
			return changed(a, federationView, o, "created")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&body.Issuer, "issuer", "", "`URL` of the issuer, exactly as it writes itself")
	flags.StringVar(&body.Audience, "audience", "", "`text` the job asks its ID token to be for, and nothing else; best the registry's URL")
	flags.StringArrayVar(&claims, "claim", nil, "what a claim of the ID token must be, `name=text`; repeatable, all must match")
	flags.DurationVar(&life, "lifetime", 0, "how long a bearer is good, an hour at most; 15m otherwise")
	registerRole(cmd, &role)
	for _, name := range []string{"issuer", "audience", "claim"} {
		if err := cmd.MarkFlagRequired(name); err != nil { // it was registered above
			panic(err)
		}
	}
	return cmd
}

func getFederation(a *app) *cobra.Command {
	return &cobra.Command{Use: "get NAME", Short: "Show a federation", Args: arguments, ValidArgsFunction: a.completeFederations, RunE: func(cmd *cobra.Command, args []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		o, err := answer[api.Federation](client.GetFederation(cmd.Context(), org, args[0], nil))
		if err != nil {
			return err
		}
		return show(a, federationView, o)
	}}
}

func deleteFederation(a *app) *cobra.Command {
	return removal{
		use: "delete NAME", short: "Delete a federation and end what it gave out", complete: a.completeFederations, question: "Delete federation %s of %s?", done: "federation/%s deleted",
		long: "Delete a federation, by name or id: every request that begins after the answer is refused if its bearer was given out by it.",
		remove: func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error {
			return done(client.DeleteFederation(ctx, org, name, &api.DeleteFederationParams{IfMatch: ifMatch}))
		},
	}.command(a)
}

func (a *app) completeFederations(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, org string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.FederationList](client.ListFederations(cmd.Context(), org, &api.ListFederationsParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Name)
		}
		return names, err
	}, true)
}
