// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Reference writes the reference of all commands, flags and exit codes as Markdown. It holds nothing of the machine it is made on.
func Reference(w io.Writer) error {
	root := newRoot(&app{Invocation: Invocation{Getenv: func(string) string { return "" }}})
	root.InitDefaultCompletionCmd("completion")
	var b strings.Builder
	b.WriteString("# The command lanyard\n\n<!-- Generated from the commands: go generate ./cmd/lanyard -->\n\n")
	b.WriteString(strings.TrimSpace(root.Long) + "\n\n" + introduction)
	b.WriteString("## Exit codes\n\n| code | name | meaning |\n|---|---|---|\n")
	for _, e := range ExitCodes {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", e.Code, e.Name, e.Meaning)
	}
	b.WriteString("\n## Flags of every command\n\n")
	flagTable(&b, root.PersistentFlags())
	b.WriteString("\n## Commands\n")
	describe(&b, root)
	_, err := io.WriteString(w, b.String())
	return err
}

const introduction = `It is also a kubectl plugin: link it as ` + "`kubectl-lanyard`" + ` into the PATH for ` + "`kubectl lanyard`" + `, and as
` + "`kubectl_complete-lanyard`" + ` for its completion. ` + "`lanyard man <directory>`" + ` writes these pages for man(1); ` + "`make man`" + ` does so from the source.

Results go to standard output, everything else to standard error. Without ` + "`-o`" + `, commands that read print a table and commands that change print a line.
JSON and YAML are those of the API, and stable; tables are for people. ` + "`-o etag`" + ` prints what ` + "`--if-match`" + ` takes.

Where the registry is, and as whom to speak to it, is taken from flags, else from the environment, else from the current context of the configuration file.
The token of a context is sent to the server of that context only, and never without TLS, except to this machine.

`

// describe writes a section for every command that does something, in the order of the help.
func describe(b *strings.Builder, cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		if child.Hidden || child.Name() == "help" {
			continue
		}
		if child.HasSubCommands() {
			describe(b, child)
			continue
		}
		fmt.Fprintf(b, "\n### %s\n\n", child.CommandPath())
		long := strings.TrimSpace(child.Long)
		if long == "" {
			long = child.Short + "."
		}
		if child.Parent().Name() == "completion" {
			long = child.Short + ". `" + child.CommandPath() + " --help` tells how to load it."
		}
		fmt.Fprintf(b, "```\n%s\n```\n\n%s\n", child.UseLine(), long)
		if child.Example != "" {
			fmt.Fprintf(b, "\n```console\n%s\n```\n", unindent(child.Example))
		}
		if child.LocalNonPersistentFlags().HasAvailableFlags() {
			b.WriteString("\n")
			flagTable(b, child.LocalNonPersistentFlags())
		}
	}
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = "$ " + strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		text := "--" + f.Name
		if f.Shorthand != "" {
			text = "-" + f.Shorthand + ", " + text
		}
		if name != "" {
			text += " <" + name + ">"
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", text, usage)
	})
}
