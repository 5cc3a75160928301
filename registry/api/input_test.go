// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/api"
)

const acme = "/api/v1/organizations/acme"

func TestBadInputIsRefusedClearly(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	w.organization("other")
	w.vault("acme", "vault", "https://vault.example", "", "t", "kv/prod")
	theirs := w.vault("other", "theirs", "https://vault.example", "", "t")
	secrets := decode[contract.SecretList](t, w.do("GET", "/api/v1/organizations/other/secrets", ""))
	foreign := secrets.Items[0].ID
	before := w.state()

	long := strings.Repeat("x", wire.MaxValueBytes+1)
	env := func(fields string) string { return `{"name":"c","envs":[{"name":"A","value":"a"},{` + fields + `}]}` }
	many := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	for name, tc := range map[string]struct {
		request string // method, path and body
		headers []string
		code    contract.Code
		where   string // pointer or parameter of the first error
		rule    string
	}{
		"a value of more than 64 KiB":                   {"POST /secrets " + `{"name":"x","value":"` + long + `"}`, nil, contract.CodeValidation, "/value", "too_long"},
		"a value of more than 64 KiB in fewer letters":  {"POST /secrets " + `{"name":"x","value":"` + strings.Repeat("é", wire.MaxValueBytes/2+1) + `"}`, nil, contract.CodeValidation, "/value", "too_long"},
		"bytes of more than 64 KiB":                     {"POST /secrets " + `{"name":"x","value_base64":"` + base64.StdEncoding.EncodeToString([]byte(long)) + `"}`, nil, contract.CodeValidation, "/value_base64", "too_long"},
		"a version of more than 64 KiB":                 {"POST /secrets/stripe/versions " + `{"value":"` + long + `"}`, nil, contract.CodeValidation, "/value", "too_long"},
		"a new value of more than 64 KiB":               {"PATCH /secrets/stripe " + `{"value":"` + long + `"}`, nil, contract.CodeValidation, "/value", "too_long"},
		"a value that is not UTF-8":                     {"POST /secrets {\"name\":\"x\",\"value\":\"a\xffb\"}", nil, contract.CodeValidation, "/value", "encoding"},
		"a value with a lone surrogate":                 {"PATCH /secrets/stripe " + `{"value":"a\ud800b"}`, nil, contract.CodeValidation, "/value", "encoding"},
		"a value that is not base64":                    {"POST /secrets " + `{"name":"x","value_base64":"a b"}`, nil, contract.CodeValidation, "/value_base64", "encoding"},
		"base64 without its padding":                    {"POST /secrets " + `{"name":"x","value_base64":"YQ"}`, nil, contract.CodeValidation, "/value_base64", "encoding"},
		"base64 with stray bits":                        {"POST /secrets " + `{"name":"x","value_base64":"YR=="}`, nil, contract.CodeValidation, "/value_base64", "encoding"},
		"value and value_base64":                        {"POST /secrets " + `{"name":"x","value":"a","value_base64":"YQ=="}`, nil, contract.CodeValidation, "/value_base64", "forbidden"},
		"a value that is a number":                      {"POST /secrets " + `{"name":"x","value":12345}`, nil, contract.CodeValidation, "/value", "type"},
		"a value that is null":                          {"PATCH /secrets/stripe " + `{"value":null}`, nil, contract.CodeValidation, "/value", "type"},
		"a value given twice":                           {"PATCH /secrets/stripe " + `{"value":"a","value":"b"}`, nil, contract.CodeValidation, "/value", "duplicate"},
		"a value with a remote reference":               {"POST /secrets " + `{"name":"x","value":"a","provider_id":"p","remote_path":"q"}`, nil, contract.CodeValidation, "/value", "forbidden"},
		"a value for storage remote":                    {"POST /secrets " + `{"name":"x","storage":"remote","value":"a"}`, nil, contract.CodeValidation, "/provider_id", "required"},
		"a version without a value":                     {"POST /secrets/stripe/versions " + `{"activate":true}`, nil, contract.CodeValidation, "/value", "required"},
		"a remote secret without a path":                {"POST /secrets " + `{"name":"x","storage":"remote","provider_id":"p"}`, nil, contract.CodeValidation, "/remote_path", "required"},
		"a remote path for a local secret":              {"PATCH /secrets/stripe " + `{"remote_path":"q"}`, nil, contract.CodeValidation, "/storage", "required"},
		"a remote path with storage local":              {"PATCH /secrets/stripe " + `{"storage":"local","remote_path":"q"}`, nil, contract.CodeValidation, "/remote_path", "forbidden"},
		"a new value with storage remote":               {"PATCH /secrets/stripe " + `{"storage":"remote","provider_id":"p","remote_path":"q","value":"a"}`, nil, contract.CodeValidation, "/value", "forbidden"},
		"an unknown provider":                           {"POST /secrets " + `{"name":"x","provider_id":"nothing","remote_path":"kv/prod/x"}`, nil, contract.CodeValidation, "/provider_id", "unknown"},
		"another organization's provider":               {"POST /secrets " + `{"name":"x","provider_id":"` + theirs.ID + `","remote_path":"kv/prod/x"}`, nil, contract.CodeValidation, "/provider_id", "unknown"},
		"a path outside the provider's prefixes":        {"POST /secrets " + `{"name":"x","provider_id":"vault","remote_path":"kv/data/production/x"}`, nil, contract.CodeValidation, "/remote_path", "prefix"},
		"a path that climbs out of the prefixes":        {"POST /secrets " + `{"name":"x","provider_id":"vault","remote_path":"kv/prod/../x"}`, nil, contract.CodeValidation, "/remote_path", "reference"},
		"a path of Vault itself":                        {"POST /secrets " + `{"name":"x","provider_id":"vault","remote_path":"auth/token/lookup-self"}`, nil, contract.CodeValidation, "/remote_path", "reference"},
		"a version that is no number":                   {"POST /secrets " + `{"name":"x","provider_id":"vault","remote_path":"kv/prod/x","remote_version":"latest"}`, nil, contract.CodeValidation, "/remote_version", "reference"},
		"a provider without a config":                   {"POST /providers " + `{"name":"x","type":"vault"}`, nil, contract.CodeValidation, "/config", "required"},
		"a provider of an unknown type":                 {"POST /providers " + `{"name":"x","type":"shoebox","config":{}}`, nil, contract.CodeValidation, "/type", "config"},
		"a provider at http":                            {"POST /providers " + vaultAt("http://vault.example", `{"token":"t"}`), nil, contract.CodeValidation, "/config/address", "config"},
		"a provider at a metadata service":              {"POST /providers " + vaultAt("https://169.254.169.254", `{"token":"t"}`), nil, contract.CodeValidation, "/config/address", "config"},
		"a provider with a field nobody knows":          {"POST /providers " + `{"name":"x","type":"vault","config":{"adrs":"https://vault.example"}}`, nil, contract.CodeValidation, "/config", "config"},
		"a provider without its credentials":            {"POST /providers " + vaultAt("https://vault.example", `{}`), nil, contract.CodeValidation, "/credentials/token", "config"},
		"a provider with others":                        {"POST /providers " + vaultAt("https://vault.example", `{"token":"t","jwt":"j"}`), nil, contract.CodeValidation, "/credentials/jwt", "config"},
		"credentials that are no object":                {"POST /providers " + vaultAt("https://vault.example", quote(canary)), nil, contract.CodeValidation, "/credentials", "type"},
		"credentials nobody knows":                      {"PATCH /providers/vault " + `{"credentials":{"password":` + quote(canary) + `}}`, nil, contract.CodeValidation, "/credentials", "config"},
		"another address with the old credentials":      {"PATCH /providers/vault " + `{"config":{"address":"https://other.example","auth":{"method":"token"}}}`, nil, contract.CodeValidation, "/credentials", "required"},
		"the registry's own account for anybody":        {"POST /providers " + `{"name":"x","type":"vault","config":{"address":"https://vault.example","auth":{"method":"kubernetes","role":"r"}}}`, nil, contract.CodeValidation, "/config/auth/method", "config"},
		"another organization's provider by id":         {"GET /providers/" + theirs.ID, nil, contract.CodeNotFound, "", ""},
		"testing another organization's provider":       {"POST /providers/" + theirs.ID + "/test", nil, contract.CodeNotFound, "", ""},
		"deleting another organization's provider":      {"DELETE /providers/" + theirs.ID, nil, contract.CodeNotFound, "", ""},
		"checking another organization's secret":        {"POST /secrets/" + foreign + "/check", nil, contract.CodeNotFound, "", ""},
		"an unknown storage":                            {"POST /secrets " + `{"name":"x","storage":"cloud"}`, nil, contract.CodeValidation, "/storage", "unknown"},
		"an unknown field":                              {"POST /secrets " + `{"name":"x","valeu":"a"}`, nil, contract.CodeValidation, "/valeu", "unknown_field"},
		"a field in another case":                       {"POST /secrets " + `{"name":"x","Value":"a"}`, nil, contract.CodeValidation, "/Value", "unknown_field"},
		"a field only answers have":                     {"POST /secrets " + `{"name":"x","id":"a"}`, nil, contract.CodeValidation, "/id", "unknown_field"},
		"an unknown field deep inside":                  {"POST /consumers " + env(`"name":"B","value":"b","secrte":"s"`), nil, contract.CodeValidation, "/envs/1/secrte", "unknown_field"},
		"nothing to change":                             {"PATCH /secrets/stripe {}", nil, contract.CodeValidation, "", "required"},
		"no name":                                       {"POST /secrets " + `{"value":"a"}`, nil, contract.CodeValidation, "/name", "required"},
		"an empty name":                                 {"POST /secrets " + `{"name":""}`, nil, contract.CodeValidation, "/name", "required"},
		"a name with a space":                           {"POST /secrets " + `{"name":"a b"}`, nil, contract.CodeValidation, "/name", "syntax"},
		"a name with a newline at its end":              {"POST /secrets " + `{"name":"a\n"}`, nil, contract.CodeValidation, "/name", "syntax"},
		"a name of the form of an id":                   {"POST /secrets " + `{"name":"0197a2b3-0000-7000-8000-000000000000"}`, nil, contract.CodeValidation, "/name", "syntax"},
		"too many labels":                               {"POST /secrets " + `{"name":"x","labels":{` + labels(33) + `}}`, nil, contract.CodeValidation, "/labels", "too_many"},
		"a label's key with a space":                    {"POST /secrets " + `{"name":"x","labels":{"a b":"c"}}`, nil, contract.CodeValidation, "/labels", "syntax"},
		"a long label":                                  {"POST /secrets " + `{"name":"x","labels":{"a":"` + strings.Repeat("x", 256) + `"}}`, nil, contract.CodeValidation, "/labels/a", "too_long"},
		"a time that is none":                           {"POST /secrets " + `{"name":"x","expires_at":"tomorrow"}`, nil, contract.CodeValidation, "/expires_at", "syntax"},
		"the 31st of February":                          {"POST /secrets " + `{"name":"x","expires_at":"2027-02-31T00:00:00Z"}`, nil, contract.CodeValidation, "/expires_at", "syntax"},
		"a reserved ENV name":                           {"POST /consumers " + env(`"name":"LD_PRELOAD","value":"b"`), nil, contract.CodeValidation, "/envs/1/name", "reserved"},
		"an ENV name given twice":                       {"POST /consumers " + env(`"name":"A","value":"b"`), nil, contract.CodeValidation, "/envs/1/name", "duplicate"},
		"an ENV name with a dash":                       {"POST /consumers " + env(`"name":"A-B","value":"b"`), nil, contract.CodeValidation, "/envs/1/name", "syntax"},
		"an ENV with value and secret":                  {"POST /consumers " + env(`"name":"B","value":"b","secret":"stripe"`), nil, contract.CodeValidation, "/envs/1/value", "forbidden"},
		"an ENV with neither":                           {"POST /consumers " + env(`"name":"B"`), nil, contract.CodeValidation, "/envs/1/value", "required"},
		"an ENV of an unknown secret":                   {"POST /consumers " + env(`"name":"B","secret":"nothing"`), nil, contract.CodeValidation, "/envs/1/secret", "unknown"},
		"an ENV of another organization's secret":       {"POST /consumers " + env(`"name":"B","secret":"`+foreign+`"`), nil, contract.CodeValidation, "/envs/1/secret", "unknown"},
		"an ENV pinned to an unknown version":           {"POST /consumers " + env(`"name":"B","secret":"stripe","version":7`), nil, contract.CodeValidation, "/envs/1/version", "unknown"},
		"an ENV pinned to version 0":                    {"POST /consumers " + env(`"name":"B","secret":"stripe","version":0`), nil, contract.CodeValidation, "/envs/1/version", "range"},
		"an ENV pinned to version 1.5":                  {"POST /consumers " + env(`"name":"B","secret":"stripe","version":1.5`), nil, contract.CodeValidation, "/envs/1/version", "type"},
		"a plain value of more than 64 KiB":             {"POST /consumers " + env(`"name":"B","value":"`+long+`"`), nil, contract.CodeValidation, "/envs/1/value", "too_long"},
		"too many ENVs":                                 {"POST /consumers " + `{"name":"c","envs":` + many(257, `{"name":"A","value":"a"}`) + `}`, nil, contract.CodeValidation, "/envs", "too_many"},
		"a binding with a pattern":                      {"POST /consumers " + `{"name":"c","bindings":[{"cluster":"prod","namespace":"*","service_account":"api"}]}`, nil, contract.CodeValidation, "/bindings/0/namespace", "syntax"},
		"a binding without a service account":           {"POST /consumers " + `{"name":"c","bindings":[{"cluster":"prod","namespace":"a"}]}`, nil, contract.CodeValidation, "/bindings/0/service_account", "required"},
		"an unknown kind":                               {"POST /consumers " + `{"name":"c","kind":"cron"}`, nil, contract.CodeValidation, "/kind", "unknown"},
		"a consumer replaced by nothing":                {"PUT /consumers/api {}", nil, contract.CodeValidation, "/name", "required"},
		"a body that is no JSON":                        {"POST /secrets {name: x}", nil, contract.CodeValidation, "", "syntax"},
		"a body that is no object":                      {"POST /secrets [1]", nil, contract.CodeValidation, "", "type"},
		"two bodies":                                    {"POST /secrets " + `{"name":"x"}{"name":"y"}`, nil, contract.CodeValidation, "", "syntax"},
		"no body":                                       {"POST /secrets", []string{"Content-Type", "application/json"}, contract.CodeValidation, "", "syntax"},
		"a body where none belongs":                     {"POST /secrets/stripe/versions/1/activate {}", nil, contract.CodeValidation, "", "unknown_field"},
		"a form":                                        {"POST /secrets name=x", []string{"Content-Type", "application/x-www-form-urlencoded"}, contract.CodeUnsupportedMediaType, "", ""},
		"no content type":                               {"POST /secrets {}", []string{"Content-Type", ""}, contract.CodeUnsupportedMediaType, "", ""},
		"another charset":                               {"POST /secrets {}", []string{"Content-Type", "application/json; charset=latin1"}, contract.CodeUnsupportedMediaType, "", ""},
		"a compressed body":                             {"POST /secrets {}", []string{"Content-Encoding", "gzip"}, contract.CodeUnsupportedMediaType, "", ""},
		"a huge body":                                   {"POST /secrets " + `{"name":"x","value":"` + strings.Repeat("x", 600<<10) + `"}`, nil, contract.CodeTooLarge, "", ""},
		"a page of none":                                {"GET /secrets?page_size=0", nil, contract.CodeValidation, "page_size", "range"},
		"a page of too many":                            {"GET /secrets?page_size=201", nil, contract.CodeValidation, "page_size", "range"},
		"a page of some":                                {"GET /secrets?page_size=some", nil, contract.CodeValidation, "page_size", "syntax"},
		"a page size given twice":                       {"GET /secrets?page_size=1&page_size=2", nil, contract.CodeValidation, "page_size", "duplicate"},
		"a page token of another list":                  {"GET /secrets?page_token=AAAA", nil, contract.CodeValidation, "page_token", "unknown"},
		"a label filter without a value":                {"GET /secrets?label=team", nil, contract.CodeValidation, "label", "syntax"},
		"an unknown parameter":                          {"GET /secrets?lable=a=b", nil, contract.CodeValidation, "", "unknown_parameter"},
		"a flag that is none":                           {"DELETE /secrets/stripe?force=yes", nil, contract.CodeValidation, "force", "syntax"},
		"a query that is none":                          {"GET /secrets?q=%zz", nil, contract.CodeValidation, "", "syntax"},
		"an unknown outcome":                            {"GET /audit-events?outcome=maybe", nil, contract.CodeValidation, "outcome", "unknown"},
		"a time that is none in a filter":               {"GET /audit-events?since=yesterday", nil, contract.CodeValidation, "since", "syntax"},
		"If-Match without quotes":                       {"PATCH /secrets/stripe " + `{"description":"d"}`, []string{"If-Match", "4711"}, contract.CodeValidation, "If-Match", "syntax"},
		"a weak If-Match":                               {"PATCH /secrets/stripe " + `{"description":"d"}`, []string{"If-Match", `W/"4711"`}, contract.CodeValidation, "If-Match", "weak"},
		"creating only if something else is not there":  {"POST /secrets " + `{"name":"x"}`, []string{"If-None-Match", `"4711"`}, contract.CodeValidation, "If-None-Match", "unknown"},
		"activating an unknown version":                 {"POST /secrets/stripe/versions/7/activate", nil, contract.CodeValidation, "version", "unknown"},
		"destroying the active version":                 {"POST /secrets/stripe/versions/1/destroy", nil, contract.CodeValidation, "version", "active"},
		"undeleting what is not deleted":                {"POST /secrets/stripe/undelete", nil, contract.CodeValidation, "", "not_deleted"},
		"another organization's secret by its id":       {"GET /secrets/" + foreign, nil, contract.CodeNotFound, "", ""},
		"changing another organization's secret by id":  {"PATCH /secrets/" + foreign + ` {"value":"x"}`, nil, contract.CodeNotFound, "", ""},
		"deleting another organization's secret by id":  {"DELETE /secrets/" + foreign + "?force=true", nil, contract.CodeNotFound, "", ""},
		"references of another organization's secret":   {"GET /secrets/" + foreign + "/references", nil, contract.CodeNotFound, "", ""},
		"versions of another organization's secret":     {"GET /secrets/" + foreign + "/versions", nil, contract.CodeNotFound, "", ""},
		"an unknown secret":                             {"PATCH /secrets/nothing " + `{"value":"x"}`, nil, contract.CodeNotFound, "", ""},
		"an unknown version":                            {"GET /secrets/stripe/versions/7", nil, contract.CodeNotFound, "", ""},
		"a version number no machine can hold":          {"GET /secrets/stripe/versions/99999999999999999999999", nil, contract.CodeNotFound, "", ""},
		"an ENV pinned to a number no machine can hold": {"POST /consumers " + env(`"name":"B","secret":"stripe","version":1e30`), nil, contract.CodeValidation, "/envs/1/version", "range"},
		"an ENV pinned to a number only JSON knows":     {"POST /consumers " + env(`"name":"B","secret":"stripe","version":1.0`), nil, contract.CodeValidation, "", "type"},
		"a number beyond all numbers":                   {"POST /consumers " + env(`"name":"B","secret":"stripe","version":1e999`), nil, contract.CodeValidation, "", "syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			method, rest, _ := strings.Cut(tc.request, " ")
			path, body, _ := strings.Cut(rest, " ")
			a := w.do(method, acme+path, body, tc.headers...)
			p := a.problem(t)
			if p.Code() != tc.code || a.status != tc.code.Info().Status {
				t.Fatalf("got %d %.500s, want %s", a.status, a.body, tc.code)
			}
			if tc.rule == "" {
				return
			}
			if p.Errors == nil || len(*p.Errors) == 0 {
				t.Fatalf("no errors: %s", a.body)
			}
			e := (*p.Errors)[0]
			if got := e.Pointer + or(e.Parameter); got != tc.where || e.Code != tc.rule || e.Message == "" {
				t.Errorf("got %s at %q (%s), want %s at %q", e.Code, got, e.Message, tc.rule, tc.where)
			}
		})
	}
	if diff := cmp.Diff(before, w.state()); diff != "" {
		t.Errorf("a refused request changed something (-before +after):\n%s", diff)
	}
	for _, text := range []string{w.answers.String(), w.log.String()} {
		if strings.Contains(text, "CANARY") {
			t.Error("the canary got out")
		}
	}
}

// vaultAt is a provider.
func vaultAt(address, credentials string) string {
	return `{"name":"x","type":"vault","config":{"address":` + quote(address) + `,"auth":{"method":"token"}},"credentials":` + credentials + `}`
}

func labels(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return strings.Join(all, ",")
}

// state is what the world's lists say.
func (w *world) state() []string {
	w.t.Helper()
	var all []string
	for _, path := range []string{"/secrets", "/secrets/stripe/versions", "/providers", "/consumers"} {
		for _, org := range []string{"acme", "other"} {
			all = append(all, string(w.do("GET", "/api/v1/organizations/"+org+path, "").body))
		}
	}
	return all
}

func TestAllProblemsOfARequestAreTold(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	p := w.do("POST", acme+"/consumers?x=1", `{"kind":"cron","envs":[{"value":"a"},{"name":"1"}],"nme":"c"}`).problem(t)
	if p.Errors == nil || len(*p.Errors) != 1 {
		t.Errorf("parameters come before the body: %+v", p)
	}
	p = w.do("POST", acme+"/consumers", `{"kind":"cron","envs":[{"value":"a"},{"name":"1"}],"nme":"c","mor":1}`).problem(t)
	got := make(map[string]string)
	for _, e := range *p.Errors {
		got[e.Pointer] = e.Code
	}
	want := map[string]string{"/kind": "unknown", "/envs/0/name": "required", "/envs/1/name": "syntax", "/nme": "unknown_field", "/mor": "unknown_field", "/name": "required"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestValuesAreKeptToTheByte(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	binary := make([]byte, wire.MaxValueBytes)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for i, tc := range []struct{ body, want string }{
		{`"value":"  spaces and a newline \n"`, "  spaces and a newline \n"},
		{`"value":"-----BEGIN-----\r\nx\r\n"`, "-----BEGIN-----\r\nx\r\n"},
		{`"value":""`, ""},
		{`"value":"\u0000'\"\\$HOME` + "\u2028\ufeff" + `"`, "\x00'\"\\$HOME\u2028\ufeff"},
		{`"value":"\ud83d\ude00\ufffd"`, "😀\ufffd"},
		{`"value":"` + strings.Repeat(`\u0001`, wire.MaxValueBytes) + `"`, strings.Repeat("\x01", wire.MaxValueBytes)},
		{`"value":"` + strings.Repeat("x", wire.MaxValueBytes) + `"`, strings.Repeat("x", wire.MaxValueBytes)},
		{`"value_base64":"` + base64.StdEncoding.EncodeToString(binary) + `"`, string(binary)},
		{`"value_base64":"/+8A\n\r\n/w=="`, "\xff\xef\x00\xff"},
	} {
		name := fmt.Sprint("v", i)
		created := decode[contract.Secret](t, w.do("POST", acme+"/secrets", `{"name":"`+name+`",`+tc.body+`}`))
		view, err := w.store.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := view.OpenVersion(created.OrganizationID, created.ID, 1)
		if err != nil || string(got.Reveal()) != tc.want {
			t.Errorf("%.60s: %d bytes of %d are kept, %v", tc.body, len(got.Reveal()), len(tc.want), err)
		}
	}
}

func TestTheLargestConsumerFits(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	consumer := func(letter string) string { // 1 MiB, each byte of it in six
		var envs []string
		for i := range 16 {
			envs = append(envs, fmt.Sprintf(`{"name":"E%d","value":"%s"}`, i, strings.Repeat(letter, 64<<10)))
		}
		return `{"name":"large","envs":[` + strings.Join(envs, ",") + `]}`
	}
	c := decode[contract.Consumer](t, w.do("POST", acme+"/consumers", consumer(`\u0078`)))
	if got := or(c.Envs[15].Value); got != strings.Repeat("x", 64<<10) {
		t.Errorf("%d bytes are kept", len(got))
	}
	p := w.do("POST", acme+"/consumers", consumer(`\u0001`)).problem(t)
	if p.Code() != contract.CodeValidation || (*p.Errors)[0].Pointer != "/envs/2/value" {
		t.Errorf("what the store cannot hold is refused as %v", p)
	}
}

// Every place for text of every request gets the canary, in values alone and in everything; it must not come back but from where text is shown by design.
func TestTheCanaryNeverComesBack(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	text := quote(canary)
	login := `{"token":` + quote(strings.ReplaceAll(canary, `"`, "")) + `}`
	values := []string{ // valid or nearly so: only values hold the canary
		"POST /secrets " + `{"name":"a","value":` + text + `}`,
		"POST /secrets " + `{"name":"a","value":` + text + `}`, // again: a conflict
		"POST /secrets " + `{"name":"b","value":` + text + `,"value_base64":` + text + `}`,
		"POST /secrets " + `{"name":"b","value_base64":` + text + `}`,
		"POST /secrets " + `{"name":"b","value":[` + text + `]}`,
		"POST /secrets " + `{"name":"b","value":{"x":` + text + `}}`,
		"POST /secrets " + `{"name":"b","value":` + text,
		"POST /secrets " + `{"name":"b","value":` + text[:len(text)-1],
		"POST /secrets " + `{"name":"b","value":` + text + `,"provider_id":"p"}`,
		"POST /secrets " + `{"name":"b","value":"` + strings.Repeat(strings.ReplaceAll(canary, `"`, ""), 5000) + `"}`,
		"POST /secrets " + `{"name":"b","value":"` + strings.Repeat(strings.ReplaceAll(canary, `"`, ""), 50000) + `"}`,
		"POST /secrets " + `{"name":"no name","value":` + text + `}`,
		"POST /secrets " + text,
		"PATCH /secrets/a " + `{"value":` + text + `}`,
		"PATCH /secrets/a " + `{"value":` + text + `,"storage":"remote"}`,
		"PATCH /secrets/nothing " + `{"value":` + text + `}`,
		"POST /secrets/a/versions " + `{"value":` + text + `}`,
		"POST /secrets/a/versions " + `{"value":` + text + `,"activate":"yes"}`,
		"POST /secrets/a/versions " + `{"value_base64":` + quote(base64.StdEncoding.EncodeToString([]byte(canary))) + `}`,
		"GET /secrets/a", "GET /secrets", "GET /secrets/a/versions", "GET /secrets/a/versions/1", "GET /secrets/a/references", "GET /audit-events",
		"POST /secrets/a/versions/1/activate", "POST /secrets/a/versions/1/destroy", "DELETE /secrets/a", "POST /secrets/a/undelete",
		"POST /providers " + strings.Replace(vaultAt("https://127.0.0.1:1", login), `"x"`, `"p"`, 1),
		"POST /providers " + strings.Replace(vaultAt("https://127.0.0.1:1", login), `"x"`, `"p"`, 1), // again: a conflict
		"POST /providers " + vaultAt("ftp://127.0.0.1:1", login),
		"POST /providers " + vaultAt("https://127.0.0.1:1", text),
		"POST /providers " + vaultAt("https://127.0.0.1:1", `[`+text+`]`),
		"POST /providers " + vaultAt("https://127.0.0.1:1", `{"token":`+text+`}`), // has a control over what a token is
		"POST /providers " + vaultAt("https://127.0.0.1:1", `{"token":"t","jwt":`+text+`}`),
		"PATCH /providers/p " + `{"credentials":` + login + `}`,
		"PATCH /providers/p " + `{"credentials":{"nothing":` + text + `}}`,
		"POST /secrets " + `{"name":"r","provider_id":"p","remote_path":"kv/x"}`,
		"POST /providers/p/test", "POST /secrets/r/check", "POST /secrets/a/check", "GET /providers", "GET /providers/p", "DELETE /providers/p",
		"GET /consumers/api", "GET /consumers", "DELETE /secrets/stripe",
	}
	for _, request := range values {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		w.do(method, acme+path, body)
		w.do(method, acme+path, body, "Content-Type", "text/plain")
		w.do(method, acme+path, body, "Authorization", "Bearer "+strings.ReplaceAll(canary, `"`, ""))
		w.do(method, acme+path, body, "If-Match", `"1"`)
	}
	// In every string of every body the document knows, in every parameter and every path.
	_, operations, err := api.LoadDocument()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(operations)) {
		method, pattern, _ := strings.Cut(key, " ")
		escaped := strings.NewReplacer("/", "%2F", `"`, "%22").Replace(canary)
		for _, org := range []string{"acme", escaped} {
			path := strings.NewReplacer(":organization", org, ":secret", "stripe", ":consumer", "api", ":provider", "p", ":version", "1", ":member", "user:m", ":token", "t").Replace(pattern)
			worst := strings.NewReplacer(":organization", "acme", ":secret", escaped, ":consumer", escaped, ":provider", escaped, ":version", escaped, ":member", escaped, ":token", escaped).Replace(pattern)
			for _, query := range []string{"", "?q=" + escaped, "?page_token=" + escaped, "?page_size=" + escaped, "?" + escaped + "=1", "?since=" + escaped, "?outcome=" + escaped, "?label=" + escaped, "?force=" + escaped, "?storage=" + escaped} {
				for _, fields := range []string{"name", "slug", "kind", "storage", "expires_at", "provider_id", "envs", "bindings", "labels", "value", "value_base64", "activate", "display_name", "principal", "role", "type", "credentials", "allowed_prefixes"} {
					if method == "GET" || method == "DELETE" || strings.HasSuffix(pattern, "e") {
						w.do(method, path+query, "")
						break
					}
					w.do(method, path+query, `{"`+fields+`":`+text+`,"unknown":`+text+`}`)
				}
			}
			w.do(method, worst, "", "If-Match", canary, "If-None-Match", canary)
		}
	}
	for name, text := range map[string]string{"an answer": w.answers.String(), "the log": w.log.String()} {
		if i := strings.Index(text, "CANARY"); i >= 0 {
			t.Errorf("the canary got into %s: …%.300s", name, text[max(0, i-150):])
		}
	}
}
