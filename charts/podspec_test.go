// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The chart and the injector must use the same words. The package is read, not imported: this module would otherwise follow every dependency of the product.
func TestTheChartUsesTheWordsOfPodspec(t *testing.T) {
	words := podspecConstants(t)
	domain := "lanyard.dev/"
	if words["Domain"] != domain {
		t.Fatalf("Domain is %q, want %q", words["Domain"], domain)
	}
	text := mustRender(t, nil).text
	for _, want := range []string{
		domain + words["LabelInject"] + `: "` + words["InjectTrue"] + `"`,
		"c.?name.orValue('') in ['" + words["ContainerInit"] + "', '" + words["ContainerSidecar"] + "']",
		"c.command[0] == '" + words["MountBin"] + "/" + words["Binary"] + "' && c.command[1] == '" + words["ModeDirect"] + "'",
		"== '" + words["VolumeBin"] + "' && m.?mountPath.orValue('') == '" + words["MountBin"] + "'",
		"== '" + words["VolumeToken"] + "' && m.?mountPath.orValue('') == '" + words["MountToken"] + "'",
		"e.?name.orValue('') == '" + words["EnvRequest"] + "'",
		"--audience=" + words["Audience"] + "\n",
		domain + words["AnnotationConsumer"] + ": acme/web",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing rendered contains %q", want)
		}
	}
}

// podspecConstants returns the string constants of package podspec; of "Domain + x", only x.
func podspecConstants(t testing.TB) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "pkg", "podspec", "podspec.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		expr := spec.Values[0]
		if sum, ok := expr.(*ast.BinaryExpr); ok {
			expr = sum.Y
		}
		if literal, ok := expr.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			words[spec.Names[0].Name], _ = strconv.Unquote(literal.Value)
		}
		return true
	})
	return words
}
