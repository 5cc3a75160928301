// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const reasonsDoc = "../../docs/reasons-admission.md"

// TestTheCatalogueIsDocumented compares docs/reasons-admission.md with Reasons; -update writes it.
func TestTheCatalogueIsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reasons of admission\n\n<!-- Generated from injector/mutate/reason.go: go test ./injector/mutate -update -->\n\n" +
		"Why the injector let a pod in or refused it. The code stands in square brackets in the message kubectl prints, in the causes of the refusal, in the\n" +
		"`reason` label of `lanyard_injector_admissions_total`, in the injector's log and in the `lanyard.dev/status` annotation. What is not injected is also told in an\n" +
		"Event of the object that controls the pod (of its namespace, if none does), whose reason is the code in CamelCase (`NotBound`):\n" +
		"`kubectl get events --field-selector reportingComponent=lanyard.dev/injector`. `lanyard explain pod` says it before there is a pod. A refusal that passes by\n" +
		"itself is answered with status 503, every other with 403; controllers such as ReplicaSets try again either way.\n")
	for _, d := range []struct {
		decision Decision
		title    string
	}{{Injected, "Injected"}, {Skipped, "Skipped"}, {Denied, "Denied"}} {
		fmt.Fprintf(&b, "\n## %s\n\n| code | what it means | what to do | passes by itself |\n|---|---|---|---|\n", d.title)
		for _, info := range Reasons {
			if info.Decision == d.decision {
				passes := "no"
				if info.Retryable {
					passes = "yes"
				}
				if d.decision != Denied {
					passes = ""
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", info.Reason, info.Meaning, info.Fix, passes)
			}
		}
	}
	b.WriteString("\nA pod that is injected already, when another webhook made the API server ask again, counts as `unchanged` with the reason it was injected for.\n")
	if *update {
		if err := os.WriteFile(reasonsDoc, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(reasonsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(have)); diff != "" {
		t.Errorf("%s differs from the catalogue (-want +have):\n%s", reasonsDoc, diff)
	}
}

func TestTheCatalogueIsComplete(t *testing.T) {
	seen := make(map[Reason]bool)
	for _, info := range Reasons {
		if seen[info.Reason] {
			t.Errorf("%s stands there twice", info.Reason)
		}
		seen[info.Reason] = true
		if info.Meaning == "" || info.Decision == Denied && info.Fix == "" {
			t.Errorf("%s has no meaning or no fix", info.Reason)
		}
	}
	doc, err := os.ReadFile("../../docs/annotations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Sidecars {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/annotations.md does not name the sidecar %s", name)
		}
	}
}
