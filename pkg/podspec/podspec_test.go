// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEveryKeyIsDocumented compares the labels and annotations of this package with docs/annotations.md, both ways.
func TestEveryKeyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/annotations.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	for name, value := range constants(t) {
		if !strings.HasPrefix(name, "Label") && !strings.HasPrefix(name, "Annotation") {
			continue
		}
		if strings.HasPrefix(name, "Annotation") && strings.HasSuffix(name, "Prefix") {
			value += "<container>"
		}
		keys[value] = true
		if !strings.Contains(string(text), "| `"+value+"` |") {
			t.Errorf("docs/annotations.md has no row for %s (%s)", value, name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]*/[^`]*)` \\|").FindAllStringSubmatch(string(text), -1) {
		if !keys[row[1]] {
			t.Errorf("docs/annotations.md explains %s, which does not exist", row[1])
		}
	}
}

// constants returns the string constants of the package by name.
func constants(t *testing.T) map[string]string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "podspec.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.ForCompiler(set, "source", nil)}
	pkg, err := config.Check("podspec", set, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok && c.Val().Kind() == constant.String {
			values[name] = constant.StringVal(c.Val())
		}
	}
	return values
}
