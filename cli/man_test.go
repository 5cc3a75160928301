// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// requests are the macros that pages are made of. A line that begins with anything else of the kind would be lost.
var requests = []string{".TH", ".SH", ".PP", ".TP", ".B", ".BR", ".nf", ".fi"}

// escapes are the escapes that pages are made of.
var escapes = regexp.MustCompile(`\\(e|-|&|fB|fI|fR|\((aq|ga|ha|ti|dq|lq|rq))`)

func TestEveryCommandHasAManualPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man", "man1")
	code, out := run(t.Context(), t, "http://127.0.0.1:1", nil, "man", dir)
	if code != OK || !strings.Contains(out, "manual pages written") {
		t.Fatalf("%d: %s", code, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, f := range files {
		have = append(have, f.Name())
	}
	root := newRoot(&app{})
	var want []string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
			return
		}
		want = append(want, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
	for _, name := range want {
		if !slices.Contains(have, name) {
			t.Errorf("%s is missing", name)
		}
	}
	if slices.Contains(have, "lanyard-man.1") || slices.Contains(have, "lanyard-help.1") {
		t.Error("a hidden command has a page")
	}
	for _, name := range have {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		checkRoff(t, name, string(text))
	}
}

// checkRoff fails the test where roff would take text for something else.
func checkRoff(t *testing.T, name, page string) {
	t.Helper()
	if !strings.HasPrefix(page, ".TH ") || !strings.Contains(page, "\n.SH NAME\n") || !strings.Contains(page, "\n.SH SYNOPSIS\n") {
		t.Errorf("%s does not begin like a page", name)
	}
	for i, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		word, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !slices.Contains(requests, word) {
			t.Errorf("%s:%d: not a request of ours: %s", name, i+1, line)
		}
		if strings.Contains(escapes.ReplaceAllString(line, ""), `\`) {
			t.Errorf("%s:%d: not an escape of ours: %s", name, i+1, line)
		}
	}
}

func TestAManualPageReadsAsItWasWritten(t *testing.T) {
	cmd := &cobra.Command{
		Use: "try NAME", Short: "Try what roff makes of things", RunE: func(*cobra.Command, []string) error { return nil },
		Long:    ".begins with a dot, and C:\\dir\n'quoted' and `typed --so`\n\n  kept as it is\n\na ` alone",
		Example: "  lanyard try a-b",
	}
	cmd.Flags().StringP("name", "n", "x", "a `word` of ~/.config")
	root := &cobra.Command{Use: "lanyard"}
	root.AddCommand(cmd)
	var b strings.Builder
	if err := manPage(&b, cmd, "v1"); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`.TH "LANYARD-TRY" 1 "" "lanyard v1" "Lanyard"`,
		`.SH NAME`, `lanyard\-try \- Try what roff makes of things`,
		`.SH SYNOPSIS`, `.B lanyard try NAME [flags]`,
		`.SH DESCRIPTION`, `\&.begins with a dot, and C:\edir`, `\(aqquoted\(aq and \fBtyped \-\-so\fR`, `.PP`, `.nf`, `  kept as it is`, `.fi`, `.PP`, `\&a \(ga alone`,
		`.SH OPTIONS`, `.TP`, `\fB\-n\fR, \fB\-\-name\fR \fIword\fR`, `a word of \(ti/.config (default x)`,
		`.SH OPTIONS OF EVERY COMMAND`, `See`, `.BR lanyard (1).`,
		`.SH EXAMPLES`, `.nf`, `$ lanyard try a\-b`, `.fi`,
		`.SH SEE ALSO`, `.BR lanyard (1)`, ``,
	}, "\n")
	if b.String() != want {
		t.Errorf("have\n%s\nwant\n%s", b.String(), want)
	}
	checkRoff(t, "try", b.String())
}
