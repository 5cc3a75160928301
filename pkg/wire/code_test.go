// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

var update = flag.Bool("update", false, "write the tables of docs/reasons.md")

const reasons = "../../docs/reasons.md"

// table renders the codes of requests, or those of items, as docs/reasons.md shows them.
func table(items bool) string {
	var b strings.Builder
	if items {
		b.WriteString("| code | tried again | what it means | what to do |\n|---|---|---|---|\n")
	} else {
		b.WriteString("| code | status | tried again | what it means | what to do |\n|---|---|---|---|---|\n")
	}
	for _, c := range wire.Codes {
		if items != (c.Status == 0) {
			continue
		}
		again := "no"
		if c.Retryable {
			again = "yes"
		}
		if c.Code == wire.CodeUnresolved {
			again = "if every item is"
		}
		status := ""
		if !items {
			status = fmt.Sprintf(" %d |", c.Status)
		}
		fmt.Fprintf(&b, "| `%s` |%s %s | %s | %s |\n", c.Code, status, again, c.Meaning, c.Fix)
	}
	return b.String()
}

func TestTheCatalogueIsDocumented(t *testing.T) {
	text, err := os.ReadFile(reasons)
	if err != nil {
		t.Fatal(err)
	}
	tables := regexp.MustCompile(`(?m)(^\|.*\n)+`)
	want := []string{table(false), table(true)}
	if *update {
		n := 0
		text = tables.ReplaceAllFunc(text, func([]byte) []byte { n++; return []byte(want[min(n, 2)-1]) })
		if err := os.WriteFile(reasons, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, tables.FindAllString(string(text), -1)); diff != "" {
		t.Errorf("%s is not the catalogue; run this test with -update (-want +got):\n%s", reasons, diff)
	}
}

func TestEveryCodeIsWhole(t *testing.T) {
	seen := map[wire.Code]bool{}
	for _, c := range wire.Codes {
		if seen[c.Code] {
			t.Errorf("%s is listed twice", c.Code)
		}
		seen[c.Code] = true
		if c.Meaning == "" || c.Fix == "" || c.Status != 0 && http.StatusText(c.Status) == "" {
			t.Errorf("%+v lacks something", c)
		}
		if c.Status >= 500 && !c.Retryable {
			t.Errorf("%s blames the registry, but is not tried again", c.Code)
		}
		if c.Code.Info() != c {
			t.Errorf("Info() of %s is %+v", c.Code, c.Code.Info())
		}
	}
}
