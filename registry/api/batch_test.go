// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func actions(result contract.BatchResult) (out []string) {
	for _, i := range result.Items {
		out = append(out, i.Name+" "+string(i.Action))
	}
	return out
}

func TestAFileIsImported(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	env := "A='" + strings.ReplaceAll(canary, "'", "") + "'\nB=$HOME\n"
	manifest := "kind: Secret\nstringData: {A: " + quote(canary) + "}\ndata: {C: AP8=}\n"
	imported := func(body string) contract.BatchResult {
		t.Helper()
		return decode[contract.BatchResult](t, w.do("POST", acme+"/secrets/import", body))
	}
	plan := imported(`{"content":` + quote(env) + `,"prefix":"p.","dry_run":true}`)
	if diff := cmp.Diff([]string{"p.A created", "p.B created"}, actions(plan)); diff != "" || !plan.DryRun || plan.Items[1].Note == nil {
		t.Errorf("%+v\n%s", plan, diff)
	}
	if list := decode[contract.SecretList](t, w.do("GET", acme+"/secrets?q=p.", "")); len(list.Items) != 0 {
		t.Error("a dry run wrote")
	}
	imported(`{"content":` + quote(env) + `,"prefix":"p."}`)
	result := imported(`{"content_base64":"` + base64.StdEncoding.EncodeToString([]byte(manifest)) + `","prefix":"p.","existing":"put"}`)
	if diff := cmp.Diff([]string{"p.A unchanged", "p.C created"}, actions(result)); diff != "" {
		t.Error(diff)
	}
	// Whoever guesses values learns nothing from a dry run.
	if guess := imported(`{"content":` + quote(env) + `,"prefix":"p.","existing":"put","dry_run":true}`); guess.Items[0].Action != contract.BatchActionUpdated {
		t.Errorf("got %+v", guess)
	}
	refused := w.do("POST", acme+"/secrets/import", `{"content":`+quote(env)+`,"prefix":"p."}`)
	if p := refused.problem(t); p.Code() != contract.CodeAlreadyExists || !strings.Contains(p.Error(), "secret p.A: it exists") || !strings.Contains(p.Error(), "p.B") {
		t.Errorf("got %s", refused.body)
	}
	for name, body := range map[string]string{
		"nothing":           `{}`,
		"both":              `{"content":"A=1","content_base64":"QT0x"}`,
		"no base64":         `{"content_base64":"QT0"}`,
		"an ambiguous line": `{"content":` + quote(canary) + `}`,
		"a bad name":        `{"content":"{\"a/b\":\"CANARY\"}"}`,
		"an unknown format": `{"content":"A=1","format":"toml"}`,
	} {
		if a := w.do("POST", acme+"/secrets/import", body); a.status != 422 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if empty := imported(`{"content":"# nothing"}`); len(empty.Items) != 0 {
		t.Errorf("got %+v", empty)
	}
	if strings.Contains(w.answers.String(), "CANARY") || strings.Contains(w.log.String(), "CANARY") {
		t.Error("a value came back")
	}
}

func TestALargeImportTakesSeveralStepsAndIsFinishedByItsKey(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	var env strings.Builder
	for i := range 2*store.MaxBatch + 1 {
		fmt.Fprintf(&env, "N%d=v\n", i)
	}
	body := `{"content":` + quote(env.String()) + `}`
	before := w.tip()
	first := w.do("POST", acme+"/secrets/import", body, "Idempotency-Key", "import-1")
	if n := len(decode[contract.BatchResult](t, first).Items); n != 2*store.MaxBatch+1 {
		t.Errorf("%d secrets", n)
	}
	written := w.tip()
	if written != before+3 {
		t.Errorf("%d transactions", written-before)
	}
	again := w.do("POST", acme+"/secrets/import", body, "Idempotency-Key", "import-1")
	if string(again.body) != string(first.body) || w.tip() != written {
		t.Errorf("the repetition: %d %s", again.status, again.body)
	}
	decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"last"}`))
	taken := w.do("POST", acme+"/secrets/import", `{"content":`+quote(strings.ReplaceAll(env.String(), "N", "M")+"last=v\n")+`}`)
	if p := taken.problem(t); p.Code() != contract.CodeAlreadyExists {
		t.Errorf("got %s", taken.body)
	}
	if list := decode[contract.SecretList](t, w.do("GET", acme+"/secrets?q=M", "")); len(list.Items) != 0 {
		t.Error("a part of what is refused was written")
	}
}

func TestABatchSaysWhatIsWrongWithWhich(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	for name, tc := range map[string]struct{ body, pointer string }{
		"base64":        {`{"secrets":[{"name":"a"},{"name":"b","value_base64":"x"}]}`, "/secrets/1/value_base64"},
		"entropy":       {`{"secrets":[{"name":"a","generate":{"length":4}}]}`, "/secrets/0/generate/length"},
		"a name twice":  {`{"secrets":[{"name":"a"},{"name":"a"}]}`, "/secrets/1/name"},
		"nothing":       {`{"secrets":[]}`, "/secrets"},
		"unknown field": {`{"secrets":[{"name":"a","storage":"remote"}]}`, "/secrets/0/storage"},
	} {
		a := w.do("POST", acme+"/secrets/batch", tc.body)
		if p := a.problem(t); p.Errors == nil || (*p.Errors)[0].Pointer != tc.pointer {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}
