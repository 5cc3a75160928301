// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func testProvider(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Connect to a provider and log in", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeProviders,
		Long: "Connect to a provider and log in. The exit code is 0 only if that works, and 7 if it does not.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.CheckResult](client.TestProvider(cmd.Context(), org, args[0], nil))
			if err != nil {
				return err
			}
			return showCheck(a, checkView("provider", args[0]), o)
		},
	}
}

func checkSecret(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "check NAME", Short: "Do what the start of a pod does with a secret, without showing the value", Args: arguments, PreRunE: a.checkOutput, ValidArgsFunction: a.completeSecrets,
		Long: `Do what the start of a pod does with a secret, local or remote, without showing the value.

The exit code is 0 only if there is a value, and 7 if there is none. The reasons are those a pod would be told. A value that a delivery cannot carry is a warning.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			o, err := answer[api.CheckResult](client.CheckSecret(cmd.Context(), org, args[0], nil))
			if err != nil {
				return err
			}
			warn := func(delivery string, why *string) {
				if why != nil {
					fmt.Fprintf(a.Err, "lanyard: warning: pods cannot receive it by the %s delivery: %s\n", delivery, output.Printable(*why))
				}
			}
			warn("envfile", o.body.NoEnvfile)
			warn("exec", o.body.NoExec)
			return showCheck(a, checkView("secret", args[0]), o)
		},
	}
}

func checkView(kind, name string) output.View[api.CheckResult] {
	return output.View[api.CheckResult]{
		Kind: kind, Name: func(api.CheckResult) string { return name },
		Columns: []output.Column[api.CheckResult]{
			{Header: "NAME", Cell: func(api.CheckResult) string { return name }},
			{Header: "RESULT", Cell: checkResult},
			{Header: "REASON", Cell: func(r api.CheckResult) string { return output.Text(r.Reason) }},
			{Header: "LATENCY", Cell: func(r api.CheckResult) string { return strconv.FormatFloat(r.LatencyMs, 'f', 1, 64) + "ms" }},
			{Header: "PROVIDER", Wide: true, Cell: func(r api.CheckResult) string { return output.Text(r.Provider) }},
		},
	}
}

func checkResult(r api.CheckResult) string {
	if r.Ok {
		return "ok"
	}
	return cmp.Or(output.Text(r.Code), "failed")
}

// showCheck prints what a check found, and returns an error unless it is that all works.
func showCheck(a *app, view output.View[api.CheckResult], o object[api.CheckResult]) error {
	if err := show(a, view, o); err != nil || o.body.Ok {
		return err
	}
	what := cmp.Or(output.Text(o.body.Message), "it does not work")
	return failed(CheckFailed, "docs/reasons.md has the codes, docs/providers.md the reasons", fmt.Errorf("%s %s: %s [%s]", view.Kind, view.Name(o.body), what, checkResult(o.body)))
}
