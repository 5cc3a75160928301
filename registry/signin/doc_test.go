// SPDX-License-Identifier: Apache-2.0

package signin_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestEveryMetricIsDocumented(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/federation.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`"lanyard_[a-z_]+"`).FindAllString(string(source), -1)
	for _, name := range names {
		if !strings.Contains(string(page), "`"+strings.Trim(name, `"`)+"`") {
			t.Errorf("docs/federation.md does not name %s", name)
		}
	}
	if len(names) == 0 {
		t.Error("there are no metrics")
	}
}
