// SPDX-License-Identifier: Apache-2.0

package catalogue_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// generated begins the comment of a reference that a test writes. Guides lead to those.
const generated = "<!-- Generated from "

func TestTheReadmeLeadsToEveryGuide(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(readme), "\n| question | answer |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	if !ok {
		t.Fatal("README.md has no table of questions and answers")
	}
	guides, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		name := "docs/" + filepath.Base(guide)
		if !strings.Contains(string(text), generated) && !strings.Contains(table, "["+name+"]("+name+")") {
			t.Errorf("no question leads to %s", name)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(table, -1) {
		if _, err := os.Stat("../../" + link[1]); err != nil {
			t.Errorf("a question leads to nothing: %v", err)
		}
	}
}
