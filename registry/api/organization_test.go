// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
)

func TestAnOrganizationIsShownBeforeItIsDeletedWithEverythingInIt(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	w.expect("adding an owner", w.do("POST", acme+"/members", `{"principal":"user:alice","role":"owner"}`), 201, "")
	w.expect("adding a member", w.do("POST", acme+"/members", `{"principal":"user:bob","role":"member"}`), 201, "")
	w.expect("a member asks", w.as("User bob", "GET", acme+"/contents", ""), 403, contract.CodeForbidden)
	have := decode[contract.OrganizationContents](t, w.as("User alice", "GET", acme+"/contents", ""))
	counts, force := make(map[string]int), make(map[string]bool)
	for _, c := range have.Items {
		counts[c.Kind], force[c.Kind] = c.Count, c.NeedsForce
		if len(c.Names) != c.Count {
			t.Errorf("%s: %d, and the names %v", c.Kind, c.Count, c.Names)
		}
	}
	if counts["secret"] == 0 || counts["consumer"] == 0 || counts["member"] != 2 {
		t.Errorf("got %v", counts)
	}
	if !force["secret"] || !force["consumer"] || force["member"] || force["workload"] { // there is no workload
		t.Errorf("force is needed for %v", force)
	}

	refused := w.do("DELETE", acme, "")
	w.expect("without force", refused, 409, contract.CodeReferenced)
	if p := refused.problem(t); p.Contents == nil {
		t.Errorf("the refusal does not say what is in it: %s", refused.body)
	} else if diff := cmp.Diff(have.Items, *p.Contents); diff != "" {
		t.Errorf("the refusal tells something else (-asked +refused):\n%s", diff)
	}
	w.expect("without its slug", w.do("DELETE", acme+"?force=true", ""), 422, contract.CodeValidation)
	w.expect("with another slug", w.do("DELETE", acme+"?force=true&confirm=other", ""), 422, contract.CodeValidation)
	w.expect("a slug alone", w.do("DELETE", acme+"?confirm=acme", ""), 409, contract.CodeReferenced)
	w.expect("an owner", w.as("User alice", "DELETE", acme+"?force=true&confirm=acme", ""), 403, contract.CodeForbidden)
	w.expect("by force", w.do("DELETE", acme+"?force=true&confirm=acme", ""), 204, "")
	w.expect("afterwards", w.do("GET", acme, ""), 404, contract.CodeNotFound)
	w.expect("to its owner", w.as("User alice", "GET", acme, ""), 404, contract.CodeNotFound)
	log := decode[contract.AuditEventList](t, w.do("GET", "/api/v1/audit-events", ""))
	if e := log.Items[0]; e.Action != "organization.purge" || *e.ResourceName != "acme" || e.Actor != "token:bootstrap" {
		t.Errorf("the installation's log ends with %+v", e)
	}
}
