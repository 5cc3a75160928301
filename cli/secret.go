// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"time"

	"github.com/oapi-codegen/nullable"
	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newSecrets(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "secret", Aliases: []string{"secrets"}, Short: "Manage secrets and their versions"},
		listSecrets(a), createSecret(a), getSecret(a), putSecret(a), updateSecret(a), deleteSecret(a), undeleteSecret(a), listReferences(a), stopWorkloads(a), checkSecret(a), grantSecret(a), revokeSecret(a), listGrants(a), importSecrets(a), newVersions(a))
}

func listSecrets(a *app) *cobra.Command {
	var (
		f                 filter
		storage, provider string
		expiring          string
		sort              string
		unused, deleted   bool
	)
	cmd := &cobra.Command{Use: "list", Short: "List secrets, never their values", Args: arguments, RunE: func(cmd *cobra.Command, _ []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		before, err := parseExpiry(expiring)
		if err != nil || before != nil && before.IsZero() {
			return misuse("", "--expiring-before takes a time such as 2027-01-31T00:00:00Z")
		}
		items, err := pages(f.limit, func(size *int, token *string) ([]api.Secret, *string, error) {
			o, err := answer[api.SecretList](client.ListSecrets(cmd.Context(), org, &api.ListSecretsParams{
				PageSize: size, PageToken: token, Q: nonzero(f.search), Label: f.labelQuery(), Storage: nonzero(api.Storage(storage)), ProviderID: nonzero(provider), Deleted: nonzero(deleted), ExpiringBefore: before, Unused: nonzero(unused), Sort: nonzero(api.ListSecretsParamsSort(sort)),
			}))
			return o.body.Items, o.body.NextPageToken, err
		})
		if err != nil {
			return err
		}
		return showList(a, secretView, items)
	}}
	f.register(cmd, true)
	cmd.Flags().StringVar(&storage, "storage", "", "only `local` or remote ones")
	cmd.Flags().StringVar(&provider, "provider", "", "only remote ones of the provider with this `name` or id")
	a.completeProviderFlag(cmd)
	cmd.Flags().StringVar(&expiring, "expiring-before", "", "only those that expire before this `time`")
	cmd.Flags().BoolVar(&unused, "unused", false, "only those no consumer refers to and no running pod has")
	cmd.Flags().StringVar(&sort, "sort", "", "`order`: name, -name, updated_at, -updated_at or expires_at")
	cmd.Flags().BoolVar(&deleted, "deleted", false, "list deleted secrets instead")
	return cmd
}

// remoteFlags are a reference into a secret provider.
type remoteFlags struct{ provider, path, key, version string }

func (r *remoteFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&r.provider, "provider", "", "`name` or id of the provider of a remote secret")
	flags.StringVar(&r.path, "remote-path", "", "`path` at the provider")
	flags.StringVar(&r.key, "remote-key", "", "`key` at that path")
	flags.StringVar(&r.version, "remote-version", "", "`version` to pin at the provider")
}

// parseExpiry reads --expires-at: a time, or "none".
func parseExpiry(text string) (*time.Time, error) {
	switch text {
	case "":
		return nil, nil
	case "none":
		return &time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, misuse("", "--expires-at takes a time such as 2027-01-31T00:00:00Z")
	}
	return &at, nil
}

// orNull turns the time of a change into what the API takes: absent, null for the zero time, or the time.
func orNull(t *time.Time) (n nullable.Nullable[time.Time]) {
	switch {
	case t == nil:
	case t.IsZero():
		n.SetNull()
	default:
		n.Set(*t)
	}
	return n
}

func createSecret(a *app) *cobra.Command {
	var (
		about   metadata
		remote  remoteFlags
		value   valueFlags
		expires string
		noValue bool
	)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a secret", Args: arguments, PreRunE: a.checkOutput,
		Long: `Create a secret.

A local secret keeps its value in the registry, encrypted, as version 1. A remote secret (--provider, --remote-path) is a reference that is read at every start
of a workload.`,
		Example: `  lanyard secret create stripe-api-key --value-file key.txt --trim-newline
  pass show stripe | lanyard secret create stripe-api-key --value-file - --trim-newline
  lanyard secret create session-key --generate 48`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			body := api.SecretCreate{
				Name: args[0], Description: nonzero(about.description),
				ProviderID: nonzero(remote.provider), RemotePath: nonzero(remote.path), RemoteKey: nonzero(remote.key), RemoteVersion: nonzero(remote.version),
			}
			if body.ExpiresAt, err = parseExpiry(expires); err != nil {
				return err
			}
			labels, err := about.applied(nil)
			if err != nil {
				return err
			}
			body.Labels = (*api.Labels)(labels)
			isRemote := remote != remoteFlags{}
			switch {
			case isRemote && value.given(), noValue && value.given():
				return misuse("", "a value cannot be given for a remote secret or with --no-value")
			case !isRemote && !noValue:
				if body.ValueBase64, body.Generate, err = value.content(cmd.Context(), a, "secret "+args[0]); err != nil {
					return err
				}
			}
			o, err := answer[api.Secret](client.CreateSecret(cmd.Context(), org, nil, body))
			if err != nil {
				return err
			}
			return changed(a, secretView, o, "created")
		},
	}
	about.register(cmd, false)
	remote.register(cmd)
	a.completeProviderFlag(cmd)
	value.register(cmd)
	cmd.Flags().BoolVar(&noValue, "no-value", false, "create a local secret that has no version yet")
	cmd.Flags().StringVar(&expires, "expires-at", "", "`time` to be reminded of; the secret goes on resolving")
	return cmd
}

func getSecret(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show a secret's metadata, never its value", Args: arguments, ValidArgsFunction: a.completeSecrets,
		Long: "Show a secret's metadata.\n\nNobody can read a value back: values leave the registry only for the pods of a bound service account.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.Secret](client.GetSecret(cmd.Context(), org, args[0], nil))
			if err != nil {
				return err
			}
			return show(a, secretView, o)
		},
	}
}

func updateSecret(a *app) *cobra.Command {
	var (
		about            metadata
		remote           remoteFlags
		storage, expires string
		only             condition
	)
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a secret's metadata or reference", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: "Change a secret's metadata or reference. What no flag names stays as it is; `secret put` changes the value.\n\n--storage remote, with --provider and --remote-path, makes a local secret a reference; its versions stay. --storage local makes a remote one local again: it has no value until one is put or activated.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			flags := cmd.Flags()
			body := api.SecretUpdate{
				Name: nonzero(about.name), Storage: nonzero(api.Storage(storage)), Description: optional(flags, "description", about.description), ProviderID: optional(flags, "provider", remote.provider),
				RemotePath: optional(flags, "remote-path", remote.path), RemoteKey: optional(flags, "remote-key", remote.key), RemoteVersion: optional(flags, "remote-version", remote.version),
			}
			expiry, err := parseExpiry(expires)
			if err != nil {
				return err
			}
			body.ExpiresAt = orNull(expiry)
			if _, err := about.applied(nil); err != nil { // before anything is asked
				return err
			}
			o, err := edit(only, func() (object[api.Secret], error) {
				return answer[api.Secret](client.GetSecret(cmd.Context(), org, args[0], nil))
			}, func(current api.Secret, ifMatch *string) (object[api.Secret], error) {
				labels, err := about.applied(current.Labels)
				if err != nil {
					return object[api.Secret]{}, err
				}
				body.Labels = (*api.Labels)(labels)
				return answer[api.Secret](client.UpdateSecret(cmd.Context(), org, current.ID, &api.UpdateSecretParams{IfMatch: ifMatch}, body))
			})
			if err != nil {
				return err
			}
			return changed(a, secretView, o, "updated")
		},
	}
	about.register(cmd, true)
	remote.register(cmd)
	a.completeProviderFlag(cmd)
	cmd.Flags().StringVar(&storage, "storage", "", "`local` or remote: where the value is kept from now on")
	cmd.Flags().StringVar(&expires, "expires-at", "", "`time` to be reminded of, or none")
	cmd.MarkFlagsOneRequired("name", "description", "label", "remove-label", "provider", "remote-path", "remote-key", "remote-version", "storage", "expires-at")
	only.register(cmd)
	return cmd
}

func deleteSecret(a *app) *cobra.Command {
	var force bool
	cmd := removal{
		use: "delete NAME", short: "Delete a secret; it can be undeleted", complete: a.completeSecrets, question: "Delete secret %s of %s?", done: "secret/%s deleted",
		long: `Delete a secret.

It stops resolving, its name stays taken, and it can be undeleted with all its versions. While something refers to it, it is not deleted, and what refers to it is listed.`,
		remove: func(ctx context.Context, client *api.Client, org, name string, ifMatch *string) error {
			return done(client.DeleteSecret(ctx, org, name, &api.DeleteSecretParams{IfMatch: ifMatch, Force: nonzero(force)}))
		},
	}.command(a)
	cmd.Flags().BoolVar(&force, "force", false, "delete it although something refers to it, which then fails at its next start")
	return cmd
}

func undeleteSecret(a *app) *cobra.Command {
	var only condition
	cmd := &cobra.Command{
		Use: "undelete NAME", Short: "Bring a deleted secret back", Args: arguments, PreRunE: a.checkOutput,
		Long: "Bring a deleted secret back with all its versions. `secret list --deleted -o wide` shows those there are; their names stay taken.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.Secret](client.UndeleteSecret(cmd.Context(), org, args[0], &api.UndeleteSecretParams{IfMatch: only.header()}))
			if err != nil {
				return err
			}
			return changed(a, secretView, o, "undeleted")
		},
	}
	only.register(cmd)
	return cmd
}

func listReferences(a *app) *cobra.Command {
	return &cobra.Command{Use: "references NAME", Short: "List what uses a secret", Args: arguments, ValidArgsFunction: a.completeSecrets, RunE: func(cmd *cobra.Command, args []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		o, err := answer[api.ReferenceList](client.ListReferences(cmd.Context(), org, args[0]))
		if err != nil {
			return err
		}
		return showList(a, referenceView, o.body.Items)
	}}
}
