// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

// told is the part of a result that does not depend on time.
func told(r contract.CheckResult) string {
	if r.Ok {
		return strings.TrimSpace("ok " + or(r.NoEnvfile))
	}
	return strings.Join([]string{or(r.Provider), or(r.Code), or(r.Reason)}, " ")
}

func TestAProviderIsTestedAndItsSecretsAreChecked(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	server := vaulttest.New(t)
	server.Put("kv/prod/db", `{"password":`+quote(canary)+`,"quoted":"it's"}`)
	server.Put("kv/prod/denied", `{"v":"x"}`)
	server.Change(func(s *vaulttest.State) { s.Denied["kv/prod/denied"] = true })
	w.vault("acme", "vault-prod", server.Address(), server.CABundle(), vaulttest.StaticToken, "kv/prod")
	for name, fields := range map[string]string{
		"db":     `"remote_path":"kv/data/prod/db","remote_key":"password"`,
		"same":   `"remote_path":"kv/prod/db","remote_key":"password"`,
		"quoted": `"remote_path":"kv/prod/db","remote_key":"quoted"`,
		"key":    `"remote_path":"kv/prod/db","remote_key":"nothing"`,
		"path":   `"remote_path":"kv/prod/nothing"`,
		"denied": `"remote_path":"kv/prod/denied"`,
	} {
		decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"`+name+`","provider_id":"vault-prod",`+fields+`}`))
	}
	decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"empty"}`))
	check := func(name string) string {
		t.Helper()
		r := decode[contract.CheckResult](t, w.do("POST", acme+"/secrets/"+name+"/check", ""))
		if r.LatencyMs <= 0 || !r.Ok && or(r.Message) == "" {
			t.Errorf("%s: %+v lacks latency or message", name, r)
		}
		return told(r)
	}
	test := func() string {
		t.Helper()
		return told(decode[contract.CheckResult](t, w.do("POST", acme+"/providers/vault-prod/test", "")))
	}
	got := map[string]string{"the provider": test()}
	for _, name := range []string{"stripe", "empty", "db", "same", "quoted", "key", "path", "denied"} {
		got[name] = check(name)
	}
	want := map[string]string{
		"the provider": "ok", "stripe": "ok", "empty": " version_missing ", "db": "ok", "same": "ok", "quoted": "ok it contains a single quote",
		"key": "vault-prod provider_not_found key_missing", "path": "vault-prod provider_not_found path_missing", "denied": "vault-prod provider_denied permission",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	decode[contract.Provider](t, w.do("PATCH", acme+"/providers/vault-prod", `{"credentials":{"token":"nobody"}}`))
	if got := test() + ", " + check("db"); got != "vault-prod provider_denied credentials, vault-prod provider_denied credentials" {
		t.Errorf("with other credentials: %s", got)
	}
	decode[contract.Provider](t, w.do("PATCH", acme+"/providers/vault-prod", `{"credentials":{"token":"`+vaulttest.StaticToken+`"},"allowed_prefixes":["kv/test"]}`))
	if got := test() + ", " + check("db"); got != "ok, vault-prod provider_denied prefix" {
		t.Errorf("with other prefixes: %s", got)
	}
	p := w.do("DELETE", acme+"/providers/vault-prod", "").problem(t)
	if p.Code() != contract.CodeReferenced || p.References == nil || len(*p.References) != 6 || (*p.References)[0].Kind != "secret" {
		t.Errorf("deleting it: %+v", p)
	}
	for name, text := range map[string]string{"an answer": w.answers.String(), "the log": w.log.String()} {
		for _, secret := range []string{"CANARY", vaulttest.StaticToken, "nobody"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q got into %s", secret, name)
			}
		}
	}
}

func TestCredentialsOfAProviderAreNowhere(t *testing.T) {
	const token = "CANARY-token-4c1b"
	w := newWorld(t)
	w.organization("acme")
	p := w.vault("acme", "vault", "https://vault.example", "", token, "kv")
	if !p.CredentialsSet || string(p.Config) != `{"address":"https://vault.example","auth":{"method":"token"},"ca_bundle":""}` || !slices.Equal(p.AllowedPrefixes, []string{"kv"}) {
		t.Errorf("got %+v %s", p, p.Config)
	}
	again := decode[contract.Provider](t, w.do("GET", acme+"/providers/"+p.ID, ""))
	if diff := cmp.Diff(p, again); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	if a := w.do("GET", acme+"/providers/vault", "", "If-None-Match", p.Etag); a.status != 304 {
		t.Errorf("status %d", a.status)
	}
	if a := w.do("PATCH", acme+"/providers/vault", `{"name":"v"}`, "If-Match", `"1"`); a.status != 412 {
		t.Errorf("status %d", a.status)
	}
	changed := decode[contract.Provider](t, w.do("PATCH", acme+"/providers/vault", `{"credentials":{"token":"`+token+`-2"}}`))
	decode[contract.Provider](t, w.do("PATCH", acme+"/providers/vault", fmt.Sprintf(`{"config":%s,"credentials":{"token":"%s-3"}}`, strings.Replace(string(p.Config), "vault.example", "other.example", 1), token), "If-Match", changed.Etag))
	if a := w.do("PATCH", acme+"/providers/vault", `{"credentials":null}`); a.status != 422 { // the method needs one
		t.Errorf("status %d", a.status)
	}
	w.do("GET", acme+"/providers", "")
	events := w.do("GET", acme+"/audit-events?resource="+p.ID, "")
	var list contract.AuditEventList
	if err := json.Unmarshal(events.body, &list); err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, e := range list.Items {
		changes = append(changes, fmt.Sprint(e.Action, e.Changed))
	}
	if got := strings.Join(changes, " "); !strings.Contains(got, "provider.update") || !strings.Contains(got, "credentials") {
		t.Errorf("audit events: %s", got)
	}
	records, err := w.etcd.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil || len(records.Kvs) == 0 {
		t.Fatalf("reading etcd: %v", err)
	}
	stored := ""
	for _, kv := range records.Kvs {
		stored += string(kv.Key) + string(kv.Value)
	}
	if a := w.do("DELETE", acme+"/providers/vault", ""); a.status != 204 {
		t.Errorf("status %d", a.status)
	}
	if !strings.Contains(stored, "other.example") {
		t.Error("the search in etcd found nothing at all")
	}
	for name, text := range map[string]string{"an answer": w.answers.String(), "the log": w.log.String(), "etcd": stored} {
		if strings.Contains(text, "CANARY-token") {
			t.Errorf("the credentials got into %s", name)
		}
	}
}

func TestLastKnownGoodValuesAreAChoice(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	p := w.vault("acme", "vault", "https://vault.example", "", "token", "kv")
	if p.LastKnownGood != nil {
		t.Errorf("without being asked for: %+v", p.LastKnownGood)
	}
	path := acme + "/providers/vault"
	for given, want := range map[string]string{"1h": "1h", "90m": "1h30m", "24h0m0s": "24h", "90s": "1m30s"} {
		changed := decode[contract.Provider](t, w.do("PATCH", path, `{"last_known_good":{"maximum_age":"`+given+`"}}`))
		if changed.LastKnownGood == nil || changed.LastKnownGood.MaximumAge != want || !changed.CredentialsSet {
			t.Errorf("%s: %+v", given, changed.LastKnownGood)
		}
	}
	for _, wrong := range []string{`{"maximum_age":"59s"}`, `{"maximum_age":"25h"}`, `{"maximum_age":"-1h"}`, `{"maximum_age":"1d"}`, `{"maximum_age":"99999999999999h"}`, `{}`, `{"maximum_age":"1h","x":1}`} {
		if a := w.do("PATCH", path, `{"last_known_good":`+wrong+`}`); a.status != 422 && a.status != 400 {
			t.Errorf("%s: status %d", wrong, a.status)
		}
	}
	if named := decode[contract.Provider](t, w.do("PATCH", path, `{"name":"vault"}`)); named.LastKnownGood == nil {
		t.Error("another change turned it off")
	}
	if off := decode[contract.Provider](t, w.do("PATCH", path, `{"last_known_good":null}`)); off.LastKnownGood != nil {
		t.Errorf("turned off: %+v", off.LastKnownGood)
	}
}
