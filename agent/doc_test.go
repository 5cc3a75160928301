// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// podspecVariables are the values of podspec's constants that name ENV variables of the agent.
func podspecVariables(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../pkg/podspec/podspec.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if v, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(v, "LANYARD_") {
				names[v] = true
			}
		}
		return true
	})
	return names
}

func TestPackageCommentListsEveryVariable(t *testing.T) {
	known, documented := podspecVariables(t), make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^//\t(LANYARD_[A-Z_]+) `).FindAllStringSubmatch(read(t, "doc.go"), -1) {
		documented[m[1]] = true
		if !known[m[1]] {
			t.Errorf("doc.go documents %s, which package podspec does not have", m[1])
		}
	}
	for name := range known {
		if !documented[name] {
			t.Errorf("doc.go does not document %s of package podspec", name)
		}
	}
	if len(known) == 0 {
		t.Error("no variable found in package podspec")
	}
}

func TestPackageCommentListsEveryExitCode(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^//\t(\d+) +([a-z]+) `).FindAllStringSubmatch(read(t, "doc.go"), -1)
	if len(rows) != len(Exits) {
		t.Fatalf("doc.go has %d exit codes, Exits has %d", len(rows), len(Exits))
	}
	for i, info := range Exits {
		if rows[i][1] != strconv.Itoa(int(info.Exit)) || rows[i][2] != info.Name {
			t.Errorf("doc.go says %s %s, Exits says %d %s", rows[i][1], rows[i][2], info.Exit, info.Name)
		}
	}
}

func TestExitCodesPageIsTheTable(t *testing.T) {
	var want strings.Builder
	want.WriteString("| code | name | meaning | what to do |\n|---|---|---|---|\n")
	for _, info := range Exits {
		fmt.Fprintf(&want, "| %d | %s | %s | %s |\n", info.Exit, info.Name, info.Meaning, info.Fix)
	}
	page := read(t, "../docs/exit-codes.md")
	const begin, end = "<!-- begin exit codes -->\n", "<!-- end exit codes -->"
	_, rest, _ := strings.Cut(page, begin)
	got, _, found := strings.Cut(rest, end)
	if !found || got != want.String() {
		t.Errorf("docs/exit-codes.md differs from Exits; between its markers it must say:\n%s", want.String())
	}
}

func TestExitCodesPageTellsWhereEachReasonLeads(t *testing.T) {
	page := read(t, "../docs/exit-codes.md")
	for _, info := range wire.Codes {
		if info.Status == 0 {
			continue
		}
		row := fmt.Sprintf("| `%s` | %d |", info.Code, exitOfCode(info))
		if !strings.Contains(page, row) {
			t.Errorf("docs/exit-codes.md has no row that begins with %s", row)
		}
	}
}
