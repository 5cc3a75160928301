// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func TestAnAdministratorSetsQuotasAndAnOwnerDoesNot(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	decode[contract.Member](t, w.do("POST", acme+"/members", `{"principal":"user:alice","role":"owner"}`))
	owner := []string{"Authorization", "User alice"}
	if a := w.do("PATCH", acme, `{"quota":{"secrets":100}}`, owner...); a.status != 403 {
		t.Errorf("an owner: %d %s", a.status, a.body)
	}
	o := decode[contract.Organization](t, w.do("PATCH", acme, `{"quota":{"secrets":1,"bytes":1000000}}`))
	if o.Quota == nil || *o.Quota.Secrets != 1 || *o.Quota.Bytes != 1000000 || o.Quota.Versions != nil {
		t.Errorf("got %+v", o.Quota)
	}
	a := w.do("POST", acme+"/secrets", `{"name":"second","value":"v"}`, owner...)
	if p := a.problem(t); a.status != 409 || p.Code() != contract.CodeQuotaExceeded || !strings.Contains(or(p.Detail), "may have 1 secrets; it has 1, and this would add 1") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if o := decode[contract.Organization](t, w.do("PATCH", acme, `{"quota":{"secrets":0,"bytes":0}}`)); o.Quota != nil {
		t.Errorf("got %+v", o.Quota)
	}
	decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"second","value":"v"}`, owner...))
}

func TestListsAreSortedAndFiltered(t *testing.T) {
	w := newWorld(t)
	w.organization("acme") // with "stripe", which is used
	decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"later","expires_at":"2031-01-01T00:00:00Z"}`))
	decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"sooner","expires_at":"2030-01-01T00:00:00Z"}`))
	w.do("POST", acme+"/secrets", `{"name":"gone"}`)
	w.do("DELETE", acme+"/secrets/gone", "")
	for query, want := range map[string][]string{
		"sort=expires_at":                      {"sooner", "later", "stripe"},
		"sort=-name":                           {"stripe", "sooner", "later"},
		"sort=updated_at":                      {"stripe", "later", "sooner"},
		"unused=true":                          {"later", "sooner"},
		"expiring_before=2030-06-01T00:00:00Z": {"sooner"},
		"deleted=true":                         {"gone"},
	} {
		var names []string
		for _, s := range decode[contract.SecretList](t, w.do("GET", acme+"/secrets?"+query, "")).Items {
			names = append(names, s.Name)
			if (s.DeletedAt != nil) != (s.PurgeAt != nil) || s.PurgeAt != nil && s.PurgeAt.Sub(*s.DeletedAt) != store.DefaultDeletedRetention {
				t.Errorf("deleted %v, purged %v", s.DeletedAt, s.PurgeAt)
			}
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	if a := w.do("GET", acme+"/secrets?sort=color", ""); a.status != 422 {
		t.Errorf("an unknown order: %d", a.status)
	}
}

func TestACallerIsLimitedAndOthersAreNot(t *testing.T) {
	limit := api.NewCallerLimit(0.001, 2)
	allowed := 0
	for range 5 {
		if limit("user:alice") {
			allowed++
		}
	}
	if allowed != 2 {
		t.Errorf("a caller may do %d, and the burst is 2", allowed)
	}
	if !limit("user:bob") {
		t.Error("another caller is limited too")
	}
}
