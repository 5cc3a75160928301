// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestEveryReasonIsDocumented(t *testing.T) {
	source, err := os.ReadFile("error.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`Reason = "([a-z_]+)"`).FindAllSubmatch(source, -1)
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `(provider_[a-z_]+|unrepresentable)` \\|").FindAllSubmatch(page, -1)
	if len(declared) == 0 || len(declared) != len(rows) {
		t.Errorf("%d reasons are declared, %d are documented", len(declared), len(rows))
	}
	for _, d := range declared {
		if !strings.Contains(string(page), "\n| `"+string(d[1])+"` | `") {
			t.Errorf("docs/providers.md does not explain the reason %s", d[1])
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`lanyard_[a-z_]+`).FindAllString(string(source), -1) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/providers.md does not name %s", name)
		}
	}
}
