// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lanyard-dev/lanyard/internal/version"
)

// newMan is hidden: it is for those who package the program.
func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages of all commands into a directory", Args: arguments, Hidden: true,
		Long: "Write the manual pages of all commands, section 1, into a directory, which is made if it is not there.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manual pages are for everybody
				return fmt.Errorf("making the directory: %w", err)
			}
			count := 0
			err := eachPage(cmd.Root(), func(page *cobra.Command) error {
				count++
				return writePage(filepath.Join(args[0], pageName(page)+".1"), page)
			})
			if err != nil {
				return err
			}
			return a.say("%d manual pages written", count)
		},
	}
}

func writePage(path string, cmd *cobra.Command) error {
	var b strings.Builder
	if err := manPage(&b, cmd, version.String()); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // manual pages are for everybody
		return fmt.Errorf("writing a manual page: %w", err)
	}
	return nil
}

// eachPage visits the commands that have pages: all a person is told of, groups too.
func eachPage(cmd *cobra.Command, visit func(*cobra.Command) error) error {
	if cmd.Hidden || cmd.Name() == "help" {
		return nil
	}
	if err := visit(cmd); err != nil {
		return err
	}
	for _, child := range cmd.Commands() {
		if err := eachPage(child, visit); err != nil {
			return err
		}
	}
	return nil
}

// pageName is what man is asked for: lanyard-secret-create.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage writes the page of one command, in the macros of man(7), which every man knows. It has no date: the same program writes the same pages.
func manPage(w io.Writer, cmd *cobra.Command, release string) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %q 1 \"\" %q \"Lanyard\"\n", strings.ToUpper(pageName(cmd)), "lanyard "+release)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	long := strings.TrimSpace(cmd.Long)
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s", roffText(long))
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, child := range cmd.Commands() {
			if !child.Hidden && child.Name() != "help" {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(child)), roff(child.Short))
			}
		}
	}
	roffFlags(&b, "OPTIONS", cmd.LocalNonPersistentFlags())
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH OPTIONS OF EVERY COMMAND\nSee\n.BR %s (1).\n", roff(pageName(cmd.Root())))
	} else {
		roffFlags(&b, "OPTIONS OF EVERY COMMAND", cmd.PersistentFlags())
		b.WriteString(".SH EXIT STATUS\n")
		for _, e := range ExitCodes {
			fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", e.Code, roff(e.Meaning))
		}
	}
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n.nf\n")
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			b.WriteString(roffLine("$ "+strings.TrimPrefix(line, "  ")) + "\n")
		}
		b.WriteString(".fi\n")
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(pageName(cmd.Parent())))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func roffFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	begun := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !begun {
			begun = true
			fmt.Fprintf(b, ".SH %s\n", title)
		}
		name, usage := pflag.UnquoteUsage(f)
		text := `\fB` + roff("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			text = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + text
		}
		if name != "" {
			text += ` \fI` + roff(name) + `\fR`
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n%s\n%s\n", text, roffLine(usage))
	})
}

// roffText is prose with blank lines between paragraphs, and with what is to be typed between backticks.
func roffText(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "":
			b.WriteString(".PP\n")
		case strings.HasPrefix(line, " "): // an example, as it is
			b.WriteString(".nf\n" + roffLine(line) + "\n.fi\n")
		default:
			b.WriteString(roffLine(line) + "\n")
		}
	}
	return b.String()
}

// roffLine is a line of text, which roff must not take for a request. Backticks make words bold.
func roffLine(line string) string {
	parts := strings.Split(line, "`")
	if len(parts)%2 == 0 { // a backtick that stands alone is one
		return `\&` + roff(line)
	}
	var b strings.Builder
	for i, part := range parts {
		if i%2 == 1 {
			part = `\fB` + roff(part) + `\fR`
		} else {
			part = roff(part)
		}
		b.WriteString(part)
	}
	if text := b.String(); strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return b.String()
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`, "…", "...", "“", `\(lq`, "”", `\(rq`)

func roff(text string) string { return roffEscapes.Replace(text) }
