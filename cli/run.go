// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-dev/lanyard/cli/internal/output"
)

// Invocation is the process a command line runs in.
type Invocation struct {
	Args   []string // with the program's name first; kubectl-lanyard and kubectl_complete-lanyard are known names
	Getenv func(string) string
	// Environ is the whole environment, as pairs. Exec replaces this process by the program at a path; if nil, nothing is run.
	Environ []string
	Exec    func(path string, args, env []string) error
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	// Terminal is where questions are asked. If nil, nothing is asked: what needs an answer is refused.
	Terminal Terminal
	// ConfigDir is the directory of the user's configuration, below which lanyard/config.yaml is kept. Empty means there is none.
	ConfigDir string
}

// Run runs one command and returns its exit code. Results go to Out, everything else to Err. It returns soon after ctx ends, with [Interrupted].
func Run(ctx context.Context, invocation Invocation) ExitCode {
	a := &app{Invocation: invocation}
	root := newRoot(a)
	args := invocation.Args[1:]
	switch program := strings.TrimSuffix(filepath.Base(invocation.Args[0]), ".exe"); program {
	case "kubectl-lanyard":
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl lanyard"}
	case "kubectl_complete-lanyard": // what kubectl calls to complete a plugin's arguments
		args = append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	root.SetArgs(args)
	root.SetIn(invocation.In)
	root.SetOut(invocation.Out)
	root.SetErr(invocation.Err)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = failed(Interrupted, "", errors.New("interrupted"))
	}
	var told *failure
	if err != nil && !a.running && !errors.As(err, &told) { // cobra's words about flags that are missing or exclude each other
		err = misuse("", "%w", err)
	}
	if err != nil {
		report(invocation.Err, root.Name(), err)
	}
	return codeOf(err)
}

// app is what the commands of one invocation share.
type app struct {
	Invocation
	stdinTaken string // by which flag; standard input is read once
	running    bool   // the command line is in order, and the command has begun
	flags      struct {
		server, context, config string
		tokenFile               string
		caFile, serverName      string
		organization            string
		output                  string
		noHeaders               bool
		timeout                 time.Duration
	}
}

// printer prints in the format asked for, by default a table.
func (a *app) printer() (output.Printer, error) {
	format, err := output.ParseFormat(cmp.Or(a.flags.output, "table"))
	if err != nil {
		return output.Printer{}, misuse("", "--output: %w", err)
	}
	return output.Printer{Out: a.Out, Format: format, NoHeaders: a.flags.noHeaders}, nil
}

func newRoot(a *app) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "lanyard",
		Short: "Administer a Lanyard secret registry",
		Long: `Administer a Lanyard secret registry.

Values, credentials and tokens are never arguments and never output, but for the token that ` + "`token create`" + ` makes. A value comes from a file, standard input or a prompt, or is generated.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Help and completion need no connection, so nothing is checked here.
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	},
		newOrganizations(a), newSecrets(a), newConsumers(a), newProviders(a), newMembers(a), newInvitations(a), newTokens(a), newFederations(a), newWorkloads(a), newAudit(a), newApply(a), newInject(a), newExplain(a), newRun(a), newDoctor(a),
		newAdministrators(a),
		newLogin(a), newLogout(a), newContexts(a), newWhoami(a), newSessions(a), newVersion(a), newMan(a),
	)
	a.watch(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.flags.server, "server", "", "`URL` of the registry's API (LANYARD_SERVER)")
	flags.StringVar(&a.flags.tokenFile, "token-file", "", "`file` with the token, - for standard input; the token itself may be in LANYARD_TOKEN")
	flags.StringVar(&a.flags.caFile, "ca-file", "", "PEM `file` to verify the registry against; the system's roots otherwise (LANYARD_CA_FILE)")
	flags.StringVar(&a.flags.serverName, "server-name", "", "`name` in the registry's certificate, if it is not the URL's host (LANYARD_SERVER_NAME)")
	flags.StringVar(&a.flags.organization, "org", "", "`slug` or id of the organization (LANYARD_ORG)")
	flags.StringVar(&a.flags.context, "context", "", "`name` of a context of the configuration file (LANYARD_CONTEXT)")
	flags.StringVar(&a.flags.config, "config", "", "configuration `file` (LANYARD_CONFIG); lanyard/config.yaml in the user's configuration directory otherwise")
	flags.StringVarP(&a.flags.output, "output", "o", "", "`format`: table, wide, json, yaml, name, etag or jsonpath=<template>")
	flags.BoolVar(&a.flags.noHeaders, "no-headers", false, "print tables without their header line")
	flags.DurationVar(&a.flags.timeout, "timeout", 30*time.Second, "`duration` one request may take")
	refuse(flags, "token", "a token on the command line can be read by every process of this machine and stays in the shell's history",
		"put it in a file for --token-file, pipe it to --token-file -, set LANYARD_TOKEN, or run `lanyard login`")
	return root
}

// watch makes every command note that it has begun.
func (a *app) watch(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return run(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		a.watch(child)
	}
}
