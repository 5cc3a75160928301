// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"strings"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
)

func TestGrantsAreReplacedAsAWholeAndShownToMembers(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	const path = "/api/v1/organizations/acme/secrets"
	created := decode[contract.Secret](t, w.do(http.MethodPost, path, `{"name":"granted","value":"x","grants":[{"namespace":"billing","service_account":"api"}]}`))
	if g := created.Grants; len(g) != 1 || g[0].Cluster == nil || *g[0].Cluster == "" || g[0].Namespace != "billing" || g[0].ServiceAccount != "api" {
		t.Fatalf("grants = %+v, want one with the registry's own cluster", g)
	}
	kept := decode[contract.Secret](t, w.do(http.MethodPatch, path+"/granted", `{"description":"d"}`))
	if len(kept.Grants) != 1 {
		t.Errorf("a change of something else took the grants away: %+v", kept.Grants)
	}
	replaced := decode[contract.Secret](t, w.do(http.MethodPatch, path+"/granted", `{"grants":[{"cluster":"edge","namespace":"billing","service_account":"worker"}]}`))
	if g := replaced.Grants; len(g) != 1 || *g[0].Cluster != "edge" || g[0].ServiceAccount != "worker" {
		t.Errorf("grants = %+v", g)
	}
	none := w.do(http.MethodPatch, path+"/granted", `{"grants":[]}`)
	if !strings.Contains(string(none.body), `"grants":[]`) {
		t.Errorf("no grants are no list: %s", none.body)
	}
	for name, tc := range map[string]struct{ grants, pointer string }{
		"a pattern":         {`[{"namespace":"billing","service_account":"*"}]`, "/grants/0/service_account"},
		"the same one":      {`[{"namespace":"b","service_account":"a"},{"namespace":"b","service_account":"a"}]`, "/grants/1"},
		"an unknown field":  {`[{"namespace":"b","service_account":"a","pod":"x"}]`, "/grants/0/pod"},
		"no namespace":      {`[{"service_account":"a"}]`, "/grants/0/namespace"},
		"no list of grants": {`{}`, "/grants"},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.do(http.MethodPatch, path+"/granted", `{"grants":`+tc.grants+`}`).problem(t)
			if p.Errors == nil || len(*p.Errors) != 1 || (*p.Errors)[0].Pointer != tc.pointer {
				t.Errorf("problem = %+v", p)
			}
		})
	}
}
