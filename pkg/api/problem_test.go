// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

var update = flag.Bool("update", false, "write docs/problems.md")

const page = "../../docs/problems.md"

// problems renders the catalogue.
func problems() string {
	var b strings.Builder
	b.WriteString(`# Problems

<!-- Generated from pkg/api by its tests: go test ./pkg/api -update -->

Errors of the administrators' API are ` + "`application/problem+json`" + ` documents (RFC 9457). The end of ` + "`type`" + ` is one of the codes below; the set is closed, and no code
ever changes its meaning. No problem repeats a value that was sent. ` + "`request_id`" + ` finds the request in the registry's log and its audit events.
`)
	for _, c := range api.Codes {
		fmt.Fprintf(&b, "\n## %s\n\n%d, *%s*. %s\n\n%s\n", c.Code, c.Status, c.Title, c.Meaning, c.Fix)
	}
	return b.String()
}

func TestTheCatalogueIsDocumented(t *testing.T) {
	want := problems()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not the catalogue; run this test with -update (-want +got):\n%s", page, diff)
	}
}

func TestEveryCodeIsWhole(t *testing.T) {
	seen := make(map[api.Code]bool)
	for _, c := range api.Codes {
		if seen[c.Code] || c.Status < 400 || http.StatusText(c.Status) == "" || c.Title == "" || c.Meaning == "" || c.Fix == "" {
			t.Errorf("%+v", c)
		}
		seen[c.Code] = true
		if c.Code.Info() != c {
			t.Errorf("%s does not find itself", c.Code)
		}
	}
	if api.Code("brand-new").Info().Code != api.CodeInternal {
		t.Error("an unknown code is not internal")
	}
}

func TestAProblemIsAnError(t *testing.T) {
	detail := "Look here."
	var err error = &api.Problem{
		Type: api.ProblemBase + "validation", Title: "The request breaks a rule", Status: 422, Detail: &detail, RequestID: "r1",
		Errors: &[]api.FieldProblem{{Pointer: "/envs/3/name", Code: "reserved", Message: "it is reserved"}},
	}
	if want := "the request breaks a rule: Look here.; /envs/3/name: it is reserved (request r1)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !errors.Is(fmt.Errorf("x: %w", err), api.CodeValidation) || errors.Is(err, api.CodeNotFound) {
		t.Error("it does not compare with its code alone")
	}
}
