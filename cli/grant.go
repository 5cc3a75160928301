// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

// editGrants replaces a secret's grants by what change makes of them as they are now.
func editGrants(cmd *cobra.Command, a *app, name string, only condition, change func(api.Secret) ([]api.Binding, error)) (object[api.Secret], error) {
	client, org, err := a.tenant()
	if err != nil {
		return object[api.Secret]{}, err
	}
	return edit(only, func() (object[api.Secret], error) {
		return answer[api.Secret](client.GetSecret(cmd.Context(), org, name, nil))
	}, func(current api.Secret, ifMatch *string) (object[api.Secret], error) {
		grants, err := change(current)
		if err != nil {
			return object[api.Secret]{}, err
		}
		return answer[api.Secret](client.UpdateSecret(cmd.Context(), org, current.ID, &api.UpdateSecretParams{IfMatch: ifMatch}, api.SecretUpdate{Grants: &grants}))
	})
}

func grantSecret(a *app) *cobra.Command {
	var (
		b    bindingFlags
		only condition
	)
	cmd := &cobra.Command{
		Use: "grant NAME", Short: "Let the pods of a service account refer to a secret", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: `Let the pods of exactly one service account refer to a secret inline, as lanyard://<organization>/<secret> in the value of an ENV. Granting it again changes
nothing. Consumers need no grant: a binding lets pods claim all that a consumer has.`,
		Example: "  lanyard secret grant stripe-api-key --namespace billing --service-account api",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := editGrants(cmd, a, args[0], only, func(current api.Secret) ([]api.Binding, error) {
				return append(slices.Clone(current.Grants), b.binding()), nil
			})
			if isDuplicate(err, "/grants/") { // only the registry knows which cluster is meant without --cluster
				return a.say("secret/%s may be referred to by %s/%s already", args[0], b.namespace, b.account)
			}
			if err != nil {
				return err
			}
			return changed(a, secretView, o, "may be referred to by "+b.namespace+"/"+b.account)
		},
	}
	b.register(cmd)
	only.register(cmd)
	return cmd
}

func revokeSecret(a *app) *cobra.Command {
	var (
		b    bindingFlags
		only condition
	)
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Take that right away again", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: "Take the right to refer to a secret inline away. Running pods keep what they have. Without --cluster it is taken away in every cluster.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := editGrants(cmd, a, args[0], only, func(current api.Secret) ([]api.Binding, error) {
				left := slices.DeleteFunc(slices.Clone(current.Grants), b.is)
				if len(left) == len(current.Grants) {
					return nil, failed(NotFound, "`lanyard secret grants` shows those there are", fmt.Errorf("secret %s has no such grant", current.Name))
				}
				return left, nil
			})
			if err != nil {
				return err
			}
			return changed(a, secretView, o, "may no longer be referred to by "+b.namespace+"/"+b.account)
		},
	}
	b.register(cmd)
	only.register(cmd)
	return cmd
}

func listGrants(a *app) *cobra.Command {
	return &cobra.Command{Use: "grants NAME", Short: "List whose pods may refer to a secret", Args: arguments, ValidArgsFunction: a.completeSecrets, RunE: func(cmd *cobra.Command, args []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		o, err := answer[api.Secret](client.GetSecret(cmd.Context(), org, args[0], nil))
		if err != nil {
			return err
		}
		return showList(a, grantView, o.body.Grants)
	}}
}
