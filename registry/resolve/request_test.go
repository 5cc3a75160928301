// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
)

func TestDecode(t *testing.T) {
	container := func(name, consumer, delivery string, envs ...string) string {
		list, _ := json.Marshal(envs)
		return fmt.Sprintf(`{"name":%q,"consumer":%q,"delivery":%q,"envs":%s}`, name, consumer, delivery, list)
	}
	request := func(containers ...string) string {
		return `{"protocol":1,"containers":[` + strings.Join(containers, ",") + `]}`
	}
	inline := func(protocol int, fields, secret string) string {
		return fmt.Sprintf(`{"protocol":%d,"containers":[{"name":"app",%s,"inline":[{"name":"STRIPE","secret":%q}]}]}`, protocol, fields, secret)
	}
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("E%d", i))
		}
		return names
	}
	var crowd []string
	for i := range wire.MaxContainers + 1 {
		crowd = append(crowd, container(fmt.Sprintf("c%d", i), "shop/web", "envfile"))
	}
	good := container("app", "shop/web", "envfile", "A", "B")
	for name, tc := range map[string]struct{ body, problem string }{
		"one container":                    {request(good), ""},
		"two containers of one consumer":   {request(good, container("side", "shop/web", "envfile", "A")), ""},
		"as many ENVs as a pod may have":   {request(container("app", "shop/web", "envfile", many(wire.MaxEnvs)...)), ""},
		"every delivery":                   {request(good, container("b", "shop/web", "exec", "A"), container("c", "shop/web", "file", "A"), container("d", "shop/web", "direct", "A")), ""},
		"fields of a newer agent":          {`{"protocol":1,"agent":"9.9","containers":[{"name":"app","consumer":"shop/web","delivery":"envfile","envs":["A"],"x":{}}]}`, ""},
		"nothing":                          {"", "not JSON: syntax error at byte 0"},
		"not JSON":                         {"secret=" + canary, "not JSON"},
		"two documents":                    {request(good) + "{}", "not JSON"},
		"an array":                         {"[]", "no resolve request"},
		"null":                             {"null", "protocol 0 is unknown"},
		"a wrong type":                     {`{"protocol":1,"containers":[{"name":{"x":"` + canary + `"}}]}`, "containers.name is of the wrong type"},
		"a newer protocol":                 {`{"protocol":3,"containers":[` + good + `]}`, "protocol 3 is unknown, this registry speaks 1 to 2"},
		"the newest protocol":              {`{"protocol":2,"containers":[` + good + `]}`, ""},
		"inline and nothing else":          {inline(2, `"delivery":"envfile"`, "lanyard://shop/stripe#3"), ""},
		"inline beside a consumer":         {inline(2, `"consumer":"shop/web","delivery":"exec","envs":["A"]`, "lanyard://shop/stripe"), ""},
		"inline for an older protocol":     {inline(1, `"delivery":"envfile"`, "lanyard://shop/stripe"), "inline references need protocol 2"},
		"inline that is malformed":         {inline(2, `"delivery":"envfile"`, "lanyard://shop"), "must be lanyard://<organization>/<secret>"},
		"inline and an ENV of the name":    {inline(2, `"consumer":"shop/web","delivery":"envfile","envs":["STRIPE"]`, "lanyard://shop/stripe"), "ENV STRIPE is asked for twice"},
		"ENVs without a consumer":          {inline(2, `"delivery":"envfile","envs":["A"]`, "lanyard://shop/stripe"), "must be <organization>/<consumer>"},
		"inline under an improper name":    {`{"protocol":2,"containers":[{"name":"app","delivery":"exec","inline":[{"name":"","secret":"lanyard://shop/a"}]}]}`, "ENV 0 has no proper name"},
		"no container":                     {request(), "no container"},
		"too many containers":              {request(crowd...), "more than 64 containers"},
		"the same container twice":         {request(good, good), "container app is asked for twice"},
		"a container without a name":       {request(container("", "shop/web", "envfile")), "no proper name"},
		"a container name no pod can have": {request(container("A_b", "shop/web", "envfile")), "no proper name"},
		"a container name too long":        {request(container(strings.Repeat("a", 64), "shop/web", "envfile")), "no proper name"},
		"no organization":                  {request(container("app", "web", "envfile")), "must be <organization>/<consumer>"},
		"a path for a consumer":            {request(container("app", "shop/../web", "envfile")), "malformed name"},
		"an undecided delivery":            {request(container("app", "shop/web", "auto")), "the delivery must be envfile"},
		"an unknown delivery":              {request(container("app", "shop/web", "pigeon")), "the delivery must be envfile"},
		"the same ENV twice":               {request(container("app", "shop/web", "envfile", "A", "B", "A")), "ENV A is asked for twice"},
		"an ENV without a name":            {request(container("app", "shop/web", "envfile", "")), "ENV 0 has no proper name"},
		"an ENV name too long":             {request(container("app", "shop/web", "envfile", strings.Repeat("A", 129))), "no proper name"},
		"more ENVs than a pod may have":    {request(container("app", "shop/web", "envfile", many(200)...), container("side", "shop/web", "envfile", many(57)...)), "more than 256 ENVs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, refusal := resolve.Decode([]byte(tc.body))
			if tc.problem == "" {
				if refusal != nil {
					t.Fatalf("refused: %s", refusal.Problem.Message)
				}
				return
			}
			if refusal == nil {
				t.Fatal("accepted")
			}
			if refusal.Problem.Code != wire.CodeInvalid || !strings.Contains(refusal.Problem.Message, tc.problem) {
				t.Errorf("refused with %s: %s; want %q", refusal.Problem.Code, refusal.Problem.Message, tc.problem)
			}
			if strings.Contains(refusal.Problem.Message, canary) {
				t.Error("the message quotes the body")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"protocol":1,"containers":[{"name":"app","consumer":"shop/web","delivery":"envfile","envs":["A"]}]}`))
	f.Add([]byte(`{"Protocol":1,"containers":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, refusal := resolve.Decode(body)
		if refusal != nil {
			if refusal.Problem.Code != wire.CodeInvalid || refusal.Problem.Message == "" {
				t.Errorf("refused with %+v", refusal.Problem)
			}
			return
		}
		// What is accepted keeps the limits, however it was written.
		var req wire.ResolveRequest
		if err := json.Unmarshal(body, &req); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		envs := 0
		for _, c := range req.Containers {
			envs += len(c.Names())
		}
		if len(req.Containers) == 0 || len(req.Containers) > wire.MaxContainers || envs > wire.MaxEnvs {
			t.Errorf("accepted %d containers with %d ENVs", len(req.Containers), envs)
		}
	})
}
