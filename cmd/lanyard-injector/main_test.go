// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/injector"
)

// TestTheChartSpeaksOurFlags compares the chart's command line with what the command takes.
func TestTheChartSpeaksOurFlags(t *testing.T) {
	var help bytes.Buffer
	_, _ = injector.ParseFlags([]string{"-help"}, &help)
	text, err := os.ReadFile("../../charts/lanyard/templates/injector/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`(?m)^\s*- (?:\{\{ printf ")?--([a-z0-9-]+)`).FindAllSubmatch(text, -1)
	if len(used) < 10 {
		t.Errorf("found %d flags only", len(used))
	}
	for _, match := range used {
		if !strings.Contains(help.String(), "\n  -"+string(match[1])) {
			t.Errorf("the chart passes --%s, which the injector does not take", match[1])
		}
	}
}
