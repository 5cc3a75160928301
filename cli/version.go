// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

func putSecret(a *app) *cobra.Command {
	var (
		value  valueFlags
		staged bool
		only   condition
	)
	cmd := &cobra.Command{
		Use: "put NAME", Short: "Put a new version of a local secret", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: `Put a new version of a local secret, and make it the active one.

Pods receive it when they start next; running pods keep what they have. Putting the value that is active already changes nothing. With --stage the version
resolves to nobody until it is activated.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			activate := !staged
			body := api.VersionCreate{Activate: &activate}
			if body.ValueBase64, body.Generate, err = value.content(cmd.Context(), a, "secret "+args[0]); err != nil {
				return err
			}
			o, err := answer[api.Version](client.PutVersion(cmd.Context(), org, args[0], &api.PutVersionParams{IfMatch: only.header()}, body))
			if err != nil {
				return err
			}
			if a.flags.output != "" {
				return show(a, versionView, o)
			}
			state := "is staged"
			if o.body.Active {
				state = "is active"
			}
			if err := a.say("secret/%s: version %d %s", args[0], o.body.Number, state); err != nil {
				return err
			}
			if o.body.NoEnvfile != nil {
				fmt.Fprintf(a.Err, "lanyard: warning: pods cannot receive it by the envfile delivery: %s\n", *o.body.NoEnvfile)
			}
			return nil
		},
	}
	value.register(cmd)
	cmd.Flags().BoolVar(&staged, "stage", false, "do not activate it")
	only.register(cmd)
	return cmd
}

func newVersions(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "versions", Aliases: []string{"version"}, Short: "List, activate and destroy versions"},
		listVersions(a), activateVersion(a), destroyVersion(a))
}

func listVersions(a *app) *cobra.Command {
	return &cobra.Command{Use: "list NAME", Short: "List the versions of a local secret, newest first", Args: arguments, ValidArgsFunction: a.completeSecrets, RunE: func(cmd *cobra.Command, args []string) error {
		client, org, err := a.tenant()
		if err != nil {
			return err
		}
		o, err := answer[api.VersionList](client.ListVersions(cmd.Context(), org, args[0]))
		if err != nil {
			return err
		}
		return showList(a, versionView, o.body.Items)
	}}
}

func parseVersion(text string) (uint64, error) {
	number, err := strconv.ParseUint(text, 10, 63) // the API's numbers are 64-bit with a sign
	if err != nil || number < 1 {
		return 0, misuse("", "a version is a number from 1 on")
	}
	return number, nil
}

func activateVersion(a *app) *cobra.Command {
	var only condition
	cmd := &cobra.Command{
		Use: "activate NAME VERSION", Short: "Make a version the active one", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: "Make a version the active one. Rolling back and finishing a staged rotation are the same act.",
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := parseVersion(args[1])
			if err != nil {
				return err
			}
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.Secret](client.ActivateVersion(cmd.Context(), org, args[0], number, &api.ActivateVersionParams{IfMatch: only.header()}))
			if err != nil {
				return err
			}
			return changed(a, secretView, o, fmt.Sprintf("resolves to version %d", number))
		},
	}
	only.register(cmd)
	return cmd
}

func destroyVersion(a *app) *cobra.Command {
	var (
		yes  bool
		only condition
	)
	cmd := &cobra.Command{
		Use: "destroy NAME VERSION", Short: "Destroy the value of a version for good", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: "Destroy the value of a version for good. Its number stays claimed; the active version cannot be destroyed.",
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := parseVersion(args[1])
			if err != nil {
				return err
			}
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), yes, fmt.Sprintf("Destroy version %d of secret %s of %s for good?", number, args[0], org)); err != nil {
				return err
			}
			o, err := answer[api.Version](client.DestroyVersion(cmd.Context(), org, args[0], number, &api.DestroyVersionParams{IfMatch: only.header()}))
			if err != nil {
				return err
			}
			return changed(a, versionView, o, "destroyed")
		},
	}
	registerYes(cmd, &yes)
	only.register(cmd)
	return cmd
}
