// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
)

// outline is an explanation in a line for each of its parts.
func outline(e contract.Explanation) (lines []string) {
	add := func(format string, args ...any) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	item := func(prefix string, i contract.ExplainedItem) {
		version := ""
		if i.Version != nil {
			version = fmt.Sprint("@", *i.Version)
		}
		add("%s%s: %s %s%s %s %s", prefix, or(i.Env), i.Source, or(i.Secret), version, or(i.Provider), or(i.Code))
		if (i.Code == nil) != (i.Message == nil) || (i.Code == nil) != (i.Fix == nil) {
			add("%s: a code without a message and a fix, or the other way round", or(i.Env))
		}
	}
	add("ok %t %s", e.Ok, or(e.Code))
	for _, c := range e.Containers {
		add("%s %s bound %t %s", or(c.Name), or(c.Consumer), c.Binding != nil, or(c.Code))
		for _, i := range c.Items {
			item("  ", i)
		}
	}
	for _, i := range e.Granted {
		item("granted ", i)
	}
	return lines
}

func TestAMemberIsToldWhatAPodWouldReceiveAndWhyNot(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	w.vault("acme", "vault-prod", "https://127.0.0.1:1", "", "t", "kv/prod")
	for _, body := range []string{
		`{"name":"staged"}`, `{"name":"db","provider_id":"vault-prod","remote_path":"kv/prod/db"}`,
		`{"name":"shared","value":` + quote(canary) + `,"grants":[{"cluster":"prod","namespace":"billing","service_account":"api"}]}`,
	} {
		decode[contract.Secret](t, w.do("POST", acme+"/secrets", body))
	}
	decode[contract.Consumer](t, w.do("POST", acme+"/consumers", `{"name":"web","envs":[{"name":"LEVEL","value":"info"},{"name":"DB","secret":"db"},{"name":"STAGED","secret":"staged"},
		{"name":"QUOTED","secret":"stripe"}],"deliveries":["exec","file"],"bindings":[{"cluster":"prod","namespace":"billing","service_account":"api"}]}`))
	decode[contract.Member](t, w.do("POST", acme+"/members", `{"principal":"user:alice","role":"member"}`))
	before := len(decode[contract.AuditEventList](t, w.do("GET", acme+"/audit-events", "")).Items)

	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"everything a service account may have": {`{"cluster":"prod","namespace":"billing","service_account":"api"}`, []string{
			"ok false unresolved",
			"acme/api bound true", "STRIPE_API_KEY: local stripe@1",
			"acme/web bound true", "LEVEL: plain", "DB: remote db vault-prod", "STAGED: local staged  version_missing", "QUOTED: local stripe@1",
			"granted : local shared@1",
		}},
		"a container that would start": {`{"cluster":"prod","namespace":"billing","service_account":"api","containers":[
			{"name":"app","consumer":"acme/web","delivery":"exec","envs":["LEVEL","DB"],"inline":[{"name":"OWN","secret":"lanyard://acme/shared"}]}]}`, []string{
			"ok true", "app acme/web bound true", "LEVEL: plain", "DB: remote db vault-prod", "OWN: local shared@1",
		}},
		"a delivery the consumer does not allow": {`{"cluster":"prod","namespace":"billing","service_account":"api","containers":[{"name":"app","consumer":"acme/web","delivery":"envfile","envs":["LEVEL"]}]}`, []string{
			"ok false delivery_denied", "app acme/web bound true delivery_denied", "LEVEL: plain",
		}},
		"the registry's own cluster, where nothing is bound": {`{"namespace":"billing","service_account":"api","containers":[{"name":"app","consumer":"acme/api"},{"name":"side","consumer":"acme/nothing"},
			{"name":"own","inline":[{"name":"OWN","secret":"lanyard://acme/shared"},{"name":"GONE","secret":"lanyard://acme/nothing"}]}]}`, []string{
			"ok false not_bound", "app acme/api bound false not_bound", "STRIPE_API_KEY: local stripe@1", "side acme/nothing bound false not_bound",
			"own  bound false", "OWN: local shared@1  not_granted", "GONE: none   not_granted",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := outline(decode[contract.Explanation](t, w.do("POST", acme+"/explain", tc.body, "Authorization", "User alice")))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("explanation (-want +got):\n%s", diff)
			}
		})
	}
	if after := len(decode[contract.AuditEventList](t, w.do("GET", acme+"/audit-events", "")).Items); after != before {
		t.Errorf("%d audit events were added", after-before)
	}
	if strings.Contains(w.answers.String(), "CANARY") || strings.Contains(w.log.String(), "CANARY") {
		t.Error("a value came back")
	}
}

func TestAQuestionAboutAnotherOrganizationIsRefused(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	w.organization("globex")
	for _, container := range []string{
		`{"name":"app","consumer":"globex/api"}`, `{"name":"app","inline":[{"name":"A","secret":"lanyard://globex/stripe"}]}`, `{"name":"app","consumer":"api"}`, `{"name":"App!","consumer":"acme/api"}`,
	} {
		p := w.do("POST", acme+"/explain", `{"namespace":"billing","service_account":"api","containers":[`+container+`]}`).problem(t)
		if p.Status != 422 || p.Errors == nil || !strings.HasPrefix((*p.Errors)[0].Pointer, "/containers") {
			t.Errorf("%s: %+v", container, p)
		}
	}
}
