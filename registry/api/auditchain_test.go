// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/auditchain"
)

// The answers of the chain are checked against the document like all others; to the checker they are one text.
func init() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.FileBodyDecoder)
}

// TestAnExportVerifiesWhateverHappensMeanwhile exports page by page while events are added: each is there once, in order.
func TestAnExportVerifiesWhateverHappensMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.do("POST", "/api/v1/organizations", `{"slug":"acme"}`)
	const acme = "/api/v1/organizations/acme"
	secret := func(n int) {
		t.Helper()
		if a := w.do("POST", acme+"/secrets", fmt.Sprintf(`{"name":"s%d","value":"v"}`, n)); a.status != 201 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for n := range 4 {
		secret(n)
	}
	var v auditchain.Verifier
	var all []byte
	after := uint64(0)
	for n := 4; ; n++ {
		a := w.do("GET", acme+"/audit-events/chain?limit=2&after="+strconv.FormatUint(after, 10), "")
		if a.status != 200 || a.header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%d %s", a.status, a.header)
		}
		if len(a.body) == 0 {
			break
		}
		if n < 7 {
			secret(n)
		}
		all = append(all, a.body...)
		lines := strings.SplitAfter(strings.TrimSuffix(string(a.body), "\n"), "\n")
		last, err := auditchain.ParseLine([]byte(lines[len(lines)-1] + "\n"))
		if err != nil || len(lines) > 2 {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
		after = last.Seq
	}
	if err := v.Read("", bytes.NewReader(all)); err != nil {
		t.Fatal(err)
	}
	r := v.Report()
	if !r.OK() || r.Events != 7 || r.First != 1 {
		t.Errorf("the export: %+v", r)
	}
	found := decode[contract.AuditVerification](t, w.do("GET", acme+"/audit-events/verify", ""))
	if !found.Ok || found.Events != 7 || found.End != r.End.String() {
		t.Errorf("the registry finds %+v, the export ends at %s", found, r.End)
	}
	if a := w.do("GET", acme+"/audit-events/chain?last=2", ""); !bytes.HasSuffix(all, a.body) || bytes.Count(a.body, []byte("\n")) != 2 {
		t.Errorf("the last two: %s", a.body)
	}
	if a := w.do("GET", acme+"/audit-events/chain?last=2&after=1", ""); a.status != 422 {
		t.Errorf("two places to begin: %d", a.status)
	}
	if a := w.do("GET", "/api/v1/audit-events/chain", ""); bytes.Count(a.body, []byte("\n")) != 1 || !bytes.Contains(a.body, []byte("organization.create")) {
		t.Errorf("the installation's chain: %s", a.body)
	}
	if found := decode[contract.AuditVerification](t, w.do("GET", "/api/v1/audit-events/verify", "")); !found.Ok || found.Events != 1 {
		t.Errorf("the installation's chain: %+v", found)
	}
}

// TestWhoWaitsIsToldOfTheNextEvent asks for what is not there yet, and then makes it happen.
func TestWhoWaitsIsToldOfTheNextEvent(t *testing.T) {
	w := newWorld(t)
	w.do("POST", "/api/v1/organizations", `{"slug":"acme"}`)
	waiting := make(chan answer)
	go func() {
		a := answer{}
		for len(a.body) == 0 { // a wait that ends before anything happened is asked for again
			a = w.do("GET", "/api/v1/organizations/acme/audit-events/chain?wait=10", "")
			if a.status != 200 {
				break
			}
		}
		waiting <- a
	}()
	w.do("POST", "/api/v1/organizations/acme/secrets", `{"name":"s","value":"v"}`)
	if a := <-waiting; a.status != 200 || !bytes.Contains(a.body, []byte("secret.create")) {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestEventsAreFoundByRequest(t *testing.T) {
	w := newWorld(t)
	w.do("POST", "/api/v1/organizations", `{"slug":"acme"}`)
	w.do("POST", "/api/v1/organizations/acme/secrets", `{"name":"a","value":"v"}`)
	id := w.do("POST", "/api/v1/organizations/acme/secrets", `{"name":"b","value":"v"}`).header.Get("X-Request-Id")
	events := decode[contract.AuditEventList](t, w.do("GET", "/api/v1/organizations/acme/audit-events?request_id="+id, ""))
	if len(events.Items) != 1 || or(events.Items[0].ResourceName) != "b" {
		t.Errorf("got %+v", events.Items)
	}
}

func TestAVerificationFindsWhatWasDoneToTheStore(t *testing.T) {
	w := newWorld(t)
	w.do("POST", "/api/v1/organizations", `{"slug":"acme"}`)
	for _, name := range []string{"a", "b", "c"} {
		w.do("POST", "/api/v1/organizations/acme/secrets", `{"name":"`+name+`","value":"v"}`)
	}
	o := decode[contract.Organization](t, w.do("GET", "/api/v1/organizations/acme", ""))
	if _, err := w.etcd.Delete(t.Context(), fmt.Sprintf("/lanyard/v1/audit/%s/events/%020d", o.ID, 2)); err != nil {
		t.Fatal(err)
	}
	found := decode[contract.AuditVerification](t, w.do("GET", "/api/v1/organizations/acme/audit-events/verify", ""))
	if found.Ok || !strings.Contains(or(found.Problem), "event 2") {
		t.Errorf("got %+v", found)
	}
}
