// SPDX-License-Identifier: Apache-2.0

package catalogue_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/agent"
	"github.com/lanyard-dev/lanyard/injector/admission"
	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/internal/events"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
)

var update = flag.Bool("update", false, "write docs/reasons-tokens.md")

const tokens = "../../docs/reasons-tokens.md"

// catalogues are all closed sets of reasons.
var catalogues = map[string]struct {
	dir, kind string // of the constants, as they are declared
	rows      func() []string
	document  string
	next      string // pattern of what follows the reason in its row, where other tables of the document have rows that begin alike
}{
	"resolve": {"../../pkg/wire", "Code", func() []string { return each(wire.Codes, func(i wire.CodeInfo) string { return string(i.Code) }) }, "reasons.md", ""},
	"admission": {"../../injector/mutate", "Reason", func() []string {
		return each(mutate.Reasons, func(i mutate.ReasonInfo) string { return string(i.Reason) })
	}, "reasons-admission.md", ""},
	"tokens": {"../../registry/authn", "Reason", func() []string {
		return each(authn.Reasons, func(i authn.ReasonInfo) string { return string(i.Reason) })
	}, "reasons-tokens.md", ""},
	"agent": {"../../agent", "Exit", func() []string {
		return each(agent.Exits, func(i agent.ExitInfo) string { return strconv.Itoa(int(i.Exit)) })
	}, "exit-codes.md", ""},
	// The documents of the rest are their catalogues.
	"provider": {"../../registry/provider", "Reason", nil, "providers.md", " `(provider_|unrepresentable)"},
	// All that a job may be refused for, and what else becomes of an exchange.
	"ID tokens": {"../../registry/authn/idtoken", "Reason", nil, "federation.md", ""},
	"exchanges": {"../../registry/signin", "outcome", nil, "federation.md", ""},
}

func each[T any](list []T, of func(T) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = of(v)
	}
	return out
}

// declared returns the constants of a type: their values, or, if they are made of something else, how many there are.
func declared(t *testing.T, dir, kind string) (values []string, count int) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				spec := s.(*ast.ValueSpec)
				if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != kind {
					continue
				}
				count++
				if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
					values = append(values, strings.Trim(literal.Value, `"`))
				}
			}
		}
	}
	return values, count
}

func TestEveryReasonHasOneRowInItsCatalogueAndItsDocument(t *testing.T) {
	for name, c := range catalogues {
		t.Run(name, func(t *testing.T) {
			page, err := os.ReadFile("../../docs/" + c.document)
			if err != nil {
				t.Fatal(err)
			}
			values, count := declared(t, c.dir, c.kind)
			rows := values
			if c.rows != nil {
				rows = c.rows()
			}
			if count == 0 || len(rows) != count {
				t.Errorf("%d are declared, %d have a row in the catalogue", count, len(rows))
			}
			for _, value := range values {
				if !slices.Contains(rows, value) {
					t.Errorf("%s is declared and has no row in the catalogue", value)
				}
			}
			for _, row := range rows {
				have := regexp.MustCompile("(?m)^\\| `?"+regexp.QuoteMeta(row)+"`? \\|"+c.next).FindAll(page, -1)
				if len(have) != 1 {
					t.Errorf("docs/%s has %d rows of %s, want 1", c.document, len(have), row)
				}
			}
		})
	}
}

func TestTheReasonsOfTokensAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Why a token was not accepted\n\n<!-- Generated from registry/authn/reason.go: go test ./internal/catalogue -update -->\n\n" +
		"Whoever holds a token is told the code only, because more would help to forge the next one. The reason stands in the registry's log (`reason`), in the audit log and in the\n" +
		"`reason` label of `lanyard_registry_workload_refusals_total`. No Event tells it, and `lanyard explain` cannot: nobody but the API server knows whose the token is.\n\n" +
		"| reason | the caller is told | what it means |\n|---|---|---|\n")
	for _, info := range authn.Reasons {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", info.Reason, info.Code, info.Meaning)
		if info.Code.Info().Status == 0 || info.Meaning == "" {
			t.Errorf("%s: %+v", info.Reason, info)
		}
	}
	if *update {
		if err := os.WriteFile(tokens, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(tokens)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(have)); diff != "" {
		t.Errorf("%s differs from the catalogue; run with -update (-want +have):\n%s", tokens, diff)
	}
}

// What is told of an admission is one sentence, in the refusal or warning, the Event and the explanation, and its reason is the metric's label.
func TestAReasonOfAdmissionIsToldAlike(t *testing.T) {
	metrics := prometheus.NewPedanticRegistry()
	admission.NewMetrics(metrics)
	labels := labelValues(t, metrics, "lanyard_injector_admissions_total", "reason")
	for _, info := range mutate.Reasons {
		plan := mutate.Plan{Decision: info.Decision, Reason: info.Reason}
		want := "" // nobody has to be told
		switch info.Decision {
		case mutate.Denied:
			plan.Problems = []mutate.Problem{{Reason: info.Reason, Field: "spec", Detail: "detail"}}
			want = "spec: detail [" + string(info.Reason) + "]. Fix: " + strings.TrimSuffix(info.Fix, ".")
			if plan.Message() != want {
				t.Errorf("%s: the refusal says %q, want %q", info.Reason, plan.Message(), want)
			}
		case mutate.Skipped:
			want = "not injected: " + info.Meaning + " [" + string(info.Reason) + "]"
		}
		if got := plan.Told(); got != want {
			t.Errorf("%s: owners are told %q, want %q", info.Reason, got, want)
		}
		if !slices.Contains(labels, string(info.Reason)) {
			t.Errorf("%s is no label of the metric", info.Reason)
		}
	}
}

// What is told of a start is one sentence, in the Event and the termination message.
func TestAReasonOfAStartIsToldAlike(t *testing.T) {
	for _, info := range wire.Codes {
		if info.Status != 0 {
			p := wire.Problem{Code: info.Code, Message: "message"}
			if want := "message [" + string(info.Code) + "]. Fix: " + info.Fix; p.Sentence() != want {
				t.Errorf("%s: %q, want %q", info.Code, p.Sentence(), want)
			}
			continue
		}
		item := wire.ItemProblem{Container: "app", Env: "KEY", Code: info.Code, Message: "message"}
		if want := "KEY of container app: " + string(info.Code) + ": message Fix: " + info.Fix; item.Sentence() != want {
			t.Errorf("%s: %q, want %q", info.Code, item.Sentence(), want)
		}
		log := filepath.Join(t.TempDir(), "termination")
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		agent.Report(agent.Config{TerminationLog: log}, &agent.Failure{Exit: agent.ExitUnresolved, Items: []wire.ItemProblem{item}, Err: fmt.Errorf("refused")})
		if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), item.Sentence()) {
			t.Errorf("%s: the termination message is %q (%v)", info.Code, text, err)
		}
	}
}

// The reason of an Event is the code, so two codes must not become one.
func TestEventsTellReasonsApart(t *testing.T) {
	for name, codes := range map[string][]string{"registry": catalogues["resolve"].rows(), "injector": catalogues["admission"].rows()} {
		codeOf := map[string]string{}
		for _, code := range codes {
			reason := events.Reason(code)
			if before, taken := codeOf[reason]; taken || !regexp.MustCompile(`^([A-Z][a-z]+)+$`).MatchString(reason) {
				t.Errorf("%s: %s is %q in Events, as %q", name, code, reason, before)
			}
			codeOf[reason] = code
		}
	}
}

func labelValues(t *testing.T, from prometheus.Gatherer, metric, label string) (values []string) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					values = append(values, l.GetValue())
				}
			}
		}
	}
	return values
}
