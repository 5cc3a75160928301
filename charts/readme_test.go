// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheReadmeListsEveryValue(t *testing.T) {
	const begin, end = "<!-- values: begin -->\n", "<!-- values: end -->"
	file := filepath.Join(chartDir, "README.md")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the values", file)
	}
	want := before + begin + table(t) + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(raw) != want {
		t.Errorf("%s does not match values.yaml; run with -update", file)
	}
}

func table(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| Key | Default | What it does |\n|---|---|---|\n")
	for _, v := range readValues(t) {
		var decoded any
		if err := v.node.Decode(&decoded); err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", v, shown, strings.ReplaceAll(v.comment, "|", `\|`))
	}
	return b.String()
}
