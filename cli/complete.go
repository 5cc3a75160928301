// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

const (
	completionTimeout = 2 * time.Second // a person waits at the keyboard
	completionLimit   = 100
)

func (a *app) completeOrganizations(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, _ string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.OrganizationList](client.ListOrganizations(cmd.Context(), &api.ListOrganizationsParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Slug)
		}
		return names, err
	}, false)
}

func (a *app) completeSecrets(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, org string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.SecretList](client.ListSecrets(cmd.Context(), org, &api.ListSecretsParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Name)
		}
		return names, err
	}, true)
}

func (a *app) completeConsumers(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, org string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.ConsumerList](client.ListConsumers(cmd.Context(), org, &api.ListConsumersParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Name)
		}
		return names, err
	}, true)
}

func (a *app) completeProviders(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, org string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.ProviderList](client.ListProviders(cmd.Context(), org, &api.ListProvidersParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Name)
		}
		return names, err
	}, true)
}

// completeProviderFlag completes --provider, whatever arguments stand before it.
func (a *app) completeProviderFlag(cmd *cobra.Command) {
	if err := cmd.RegisterFlagCompletionFunc("provider", func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completeProviders(cmd, nil, typed)
	}); err != nil { // the caller has registered the flag
		panic(err)
	}
}

func (a *app) completeMembers(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, org string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.MemberList](client.ListMembers(cmd.Context(), org, &api.ListMembersParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Principal)
		}
		return names, err
	}, true)
}

func (a *app) completeTokens(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(args, func(client *api.Client, org string) (names []string, err error) {
		size := completionLimit
		o, err := answer[api.APITokenList](client.ListTokens(cmd.Context(), org, &api.ListTokensParams{PageSize: &size, Q: nonzero(typed)}))
		for _, item := range o.body.Items {
			names = append(names, item.Name)
		}
		return names, err
	}, true)
}

// complete offers names for the first argument. Whatever goes wrong, the shell gets no suggestions and no error: the person is in the middle of a line.
func (a *app) complete(args []string, list func(client *api.Client, org string) ([]string, error), inOrganization bool) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || a.flags.tokenFile == "-" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	a.flags.timeout = completionTimeout
	var (
		client *api.Client
		org    string
		err    error
	)
	if inOrganization {
		client, org, err = a.tenant()
	} else {
		client, err = a.client()
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := list(client, org)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
