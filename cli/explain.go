// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/pkg/api"
)

func newExplain(a *app) *cobra.Command {
	return group(&cobra.Command{Use: "explain", Short: "Say what a pod would receive, and why not"}, explainPod(a), explainServiceAccount(a))
}

func explainServiceAccount(a *app) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use: "serviceaccount NAMESPACE/NAME", Aliases: []string{"sa"}, Short: "Say what pods of a service account would receive", Args: arguments, PreRunE: a.checkOutput,
		Long: `Say what pods of a service account would receive from the organization: the consumers they may claim, the secrets they may refer to inline, and of each item where it
comes from, or why there is no value. No value is opened and no provider is asked: ` + "`secret check`" + ` does that.

The exit code is 0 if there is a value for everything, as far as that is known, and 7 if not.`,
		Example: "  lanyard explain serviceaccount billing/api",
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, name, ok := strings.Cut(args[0], "/")
			if !ok || namespace == "" || name == "" {
				return misuse("", "a service account is written <namespace>/<name>")
			}
			client, org, err := a.tenant()
			if err != nil {
				return err
			}
			e, err := askWhy(cmd.Context(), client, org, api.Question{Cluster: nonzero(cluster), Namespace: namespace, ServiceAccount: name})
			if err != nil {
				return err
			}
			report := explanation{Kind: "serviceaccount", Name: args[0], Namespace: namespace, ServiceAccount: name}
			report.add(told(e)...)
			if len(report.Findings) == 0 {
				report.add(explained{Step: "service account", Name: args[0], Result: resultRefused, Reason: "not_bound", Message: "no consumer of the organization binds it, and no secret is granted to it"})
			}
			return a.showExplanation(report)
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "`name` of the cluster in bindings; the registry's own otherwise")
	return cmd
}

func askWhy(ctx context.Context, client *api.Client, org string, q api.Question) (api.Explanation, error) {
	o, err := answer[api.Explanation](client.Explain(ctx, org, q))
	return o.body, err
}

// explanation is what is printed: of JSON and YAML as a whole, of a table the findings.
type explanation struct {
	Kind           string      `json:"kind"` // pod or serviceaccount
	Name           string      `json:"name"`
	Namespace      string      `json:"namespace"`
	ServiceAccount string      `json:"service_account"`
	Ok             bool        `json:"ok"`
	Findings       []explained `json:"findings"`
}

// explained is one line of an explanation, a finding.
type explained struct {
	Step    string `json:"step"` // what was looked at
	Name    string `json:"name"`
	Result  string `json:"result"`
	Reason  string `json:"reason,omitempty"` // a code of docs/reasons.md or docs/reasons-admission.md
	From    string `json:"from,omitempty"`   // where the value comes from
	By      string `json:"by,omitempty"`     // what allows it
	Message string `json:"message,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// Results of findings that are no text of the pod.
const (
	resultOK      = "ok"
	resultRefused = "refused"
	resultUnread  = "ok, not read" // a remote value: only its provider knows whether it is there
)

func (e *explanation) add(findings ...explained) { e.Findings = append(e.Findings, findings...) }

// refused returns the first explained that keeps a pod from its values.
func (e *explanation) refused() *explained {
	for i := range e.Findings {
		if r := e.Findings[i].Result; r == resultRefused || r == string(mutate.Skipped) {
			return &e.Findings[i]
		}
	}
	return nil
}

// told is what the registry says, line by line.
func told(e api.Explanation) (lines []explained) {
	for _, c := range e.Containers {
		name := output.Text(c.Name)
		line := explained{Step: "consumer", Name: output.Text(c.Consumer), By: allowance("binding", c.Binding)}
		if line.Name != "" {
			if name != "" {
				line.Step, line.Name = "container", name
				line.From = "consumer " + output.Text(c.Consumer)
			}
			lines = append(lines, line.reasoned(c.Code, c.Message, c.Fix))
		}
		for _, i := range c.Items {
			lines = append(lines, itemTold(i, "env", strings.TrimPrefix(name+"/"+output.Text(i.Env), "/")))
		}
	}
	for _, i := range e.Granted {
		lines = append(lines, itemTold(i, "granted", output.Text(i.Secret)))
	}
	if e.More {
		lines = append(lines, explained{Step: "more", Result: "not shown", Message: "there are more than the answer holds"})
	}
	return lines
}

func itemTold(i api.ExplainedItem, step, name string) explained {
	line := explained{Step: step, Name: name, From: string(i.Source), By: allowance("grant", i.Grant)}
	if i.Secret != nil {
		line.From += " " + *i.Secret
	}
	if i.Version != nil {
		line.From += fmt.Sprint("@", *i.Version)
	}
	if i.Provider != nil {
		line.From += " of " + *i.Provider
	}
	if i.Pinned != nil {
		line.From += " (pinned)"
	}
	line = line.reasoned(i.Code, i.Message, i.Fix)
	if line.Result == resultOK && i.Source == api.ExplainedSourceRemote {
		line.Result = resultUnread
	}
	return line
}

func (f explained) reasoned(code, message, fix *string) explained {
	f.Result, f.Reason, f.Message, f.Fix = resultOK, output.Text(code), output.Text(message), output.Text(fix)
	if f.Reason != "" {
		f.Result = resultRefused
	}
	return f
}

func allowance(kind string, b *api.Binding) string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("%s %s/%s in %s", kind, b.Namespace, b.ServiceAccount, output.Text(b.Cluster))
}

// showExplanation prints an explanation, and returns an error if something in it keeps a pod from its values.
func (a *app) showExplanation(e explanation) error {
	refused := e.refused()
	e.Ok = refused == nil
	var err error
	if f := a.flags.output; f == "" || f == "table" || f == "wide" {
		err = showList(a, explainedView, e.Findings)
	} else {
		err = show(a, explanationView, object[explanation]{body: e})
	}
	if err != nil || e.Ok {
		return err
	}
	return failed(CheckFailed, refused.Fix, errors.New(output.Printable(fmt.Sprintf("%s %s: %s: %s [%s]", e.Kind, e.Name, strings.TrimSpace(refused.Step+" "+refused.Name), refused.Message, refused.Reason))))
}

var explanationView = output.View[explanation]{Kind: "explanation", Name: func(e explanation) string { return e.Kind + "/" + e.Name }}

var explainedView = output.View[explained]{
	Kind: "finding", Name: func(f explained) string { return f.Step + "/" + f.Name },
	Columns: []output.Column[explained]{
		{Header: "STEP", Cell: func(f explained) string { return f.Step }},
		{Header: "NAME", Cell: func(f explained) string { return f.Name }},
		{Header: "RESULT", Cell: func(f explained) string { return f.Result }},
		{Header: "REASON", Cell: func(f explained) string { return f.Reason }},
		{Header: "FROM", Cell: func(f explained) string { return f.From }},
		{Header: "BY", Cell: func(f explained) string { return f.By }},
		{Header: "MESSAGE", Cell: func(f explained) string { return f.Message }},
		{Header: "FIX", Wide: true, Cell: func(f explained) string { return f.Fix }},
	},
}
