// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/cli"
)

var update = flag.Bool("update", false, "rewrite docs/cli.md")

// TestTheReferenceIsUpToDate compares docs/cli.md with the commands; -update writes it.
func TestTheReferenceIsUpToDate(t *testing.T) {
	const path = "../../docs/cli.md"
	var want bytes.Buffer
	if err := cli.Reference(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(have)); diff != "" {
		t.Errorf("%s differs from the commands; run go generate ./cmd/lanyard (-want +have):\n%s", path, diff)
	}
}
