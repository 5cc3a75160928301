// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestPolicyIsReadStrictly(t *testing.T) {
	for name, tc := range map[string]struct{ text, err string }{
		"nothing":                    {"", ""},
		"everything":                 {"delivery: exec\ndeliveries: [exec, file]\nrequests: {cpu: 5m, memory: 8Mi}\nnamespaces: {shop: {delivery: file, requests: {cpu: 0}}}", ""},
		"JSON":                       {`{"deliveries": ["envfile"]}`, ""},
		"auto among a few":           {"delivery: auto\ndeliveries: [exec]", ""},
		"a misspelled field":         {"delivry: exec", `unknown field "delivry"`},
		"one in a namespace":         {"namespaces: {shop: {allow: [exec]}}", `unknown field "allow"`},
		"a field twice":              {"delivery: exec\ndelivery: file", `"delivery" already set`},
		"a delivery that is none":    {"delivery: env", `delivery: "env" is none of auto, envfile, exec, direct, file`},
		"auto is none to allow":      {"deliveries: [auto]", `deliveries[0]: "auto" is none of envfile, exec, direct, file`},
		"one twice":                  {"deliveries: [exec, exec]", "deliveries[1]: exec is there twice"},
		"a default that is denied":   {"delivery: file\ndeliveries: [exec]", "delivery: file is not among deliveries"},
		"… by what is inherited":     {"deliveries: [exec]\nnamespaces: {shop: {delivery: file}}", "namespaces.shop: pods that name no delivery would get file, which is not allowed there"},
		"… or inherited itself":      {"delivery: exec\nnamespaces: {shop: {deliveries: [file]}}", "namespaces.shop: pods that name no delivery would get exec"},
		"a namespace that is none":   {"namespaces: {Shop: {}}", `"Shop" cannot be a namespace`},
		"a pattern":                  {"namespaces: {'*': {}}", `"*" cannot be a namespace`},
		"a negative request":         {"requests: {cpu: -1}", "requests.cpu: it is negative"},
		"a request that is none":     {"requests: {cpu: much}", "quantities must match"},
		"an unknown resource":        {"requests: {gpu: 1}", `unknown field "gpu"`},
		"a list":                     {"[]", "cannot unmarshal array"},
		"too long":                   {"#" + strings.Repeat("x", MaxPolicyBytes), "more than 1048576 bytes"},
		"several things are told of": {"delivery: env\ndeliveries: [x]", "deliveries[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(tc.text))
			if tc.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), "reading policy: ") || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error = %v, want one that says %q", err, tc.err)
			}
		})
	}
}

func TestPolicyDecidesWithinWhatTheConsumerAllows(t *testing.T) {
	for name, tc := range map[string]struct {
		policy     string
		consumer   []wire.Delivery
		annotation string
		command    string
		want       string // delivery and why, or the reason it is refused for
	}{
		"nobody says anything":                    {"", nil, "", "run", "envfile auto"},
		"the installation's default":              {"delivery: file", nil, "", "run", "file policy"},
		"that of another namespace":               {"namespaces: {bank: {delivery: file}}", nil, "", "run", "envfile auto"},
		"that of the namespace":                   {"delivery: exec\nnamespaces: {shop: {delivery: file}}", nil, "", "run", "file policy"},
		"the pod's own word goes first":           {"delivery: file", nil, "exec", "run", "exec annotation"},
		"also if it is auto":                      {"delivery: file", nil, "auto", "run", "envfile auto"},
		"what is not allowed is refused":          {"deliveries: [exec]", nil, "file", "run", "delivery_denied"},
		"auto chooses among the allowed":          {"deliveries: [exec, file]", nil, "", "run", "exec auto: the delivery envfile is not allowed"},
		"and never a file":                        {"deliveries: [file]", nil, "", "run", "delivery_denied"},
		"the namespace allows more":               {"deliveries: [exec]\nnamespaces: {shop: {deliveries: [envfile]}}", nil, "", "run", "envfile auto"},
		"the consumer's rule":                     {"", []wire.Delivery{wire.DeliveryExec}, "", "run", "exec auto: consumer acme/policed does not allow"},
		"the consumer's rule and no command":      {"", []wire.Delivery{wire.DeliveryExec}, "", "", "delivery_denied"},
		"the consumer refuses the pod's word":     {"", []wire.Delivery{wire.DeliveryExec}, "envfile", "run", "delivery_denied"},
		"the consumer refuses the default":        {"delivery: file", []wire.Delivery{wire.DeliveryExec}, "", "run", "delivery_denied"},
		"neither can allow what the other denies": {"deliveries: [file]", []wire.Delivery{wire.DeliveryExec}, "exec", "run", "delivery_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			var err error
			if cfg.Policy, err = ParsePolicy([]byte(tc.policy)); err != nil {
				t.Fatal(err)
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			pod := ordered("", "")
			pod.Annotations[podspec.AnnotationConsumer] = "acme/policed"
			if tc.annotation != "" {
				pod.Annotations[podspec.AnnotationDelivery] = tc.annotation
			}
			if tc.command != "" {
				pod.Spec.Containers[0].Command = []string{tc.command}
			}
			raw, err := json.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ParsePod(raw)
			if err != nil {
				t.Fatal(err)
			}
			names := namesMap{"acme/policed": {Envs: []wire.EnvName{{Name: "A"}}, Bindings: testNames["acme/web"].Bindings, Deliveries: tc.consumer}}
			plan := m.Plan(parsed, "shop", names)
			got := string(plan.Reason)
			if plan.Decision == Injected {
				var after corev1.Pod
				if err := json.Unmarshal(apply(t, raw, plan), &after); err != nil {
					t.Fatal(err)
				}
				var status Status
				if err := json.Unmarshal([]byte(after.Annotations[podspec.AnnotationStatus]), &status); err != nil {
					t.Fatal(err)
				}
				got = string(status.Containers[0].Delivery) + " " + status.Containers[0].Why
			}
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q; %v", got, tc.want, plan.Problems)
			}
		})
	}
}

func TestPolicySetsTheRequestsOfANamespace(t *testing.T) {
	cfg := testConfig()
	var err error
	if cfg.Policy, err = ParsePolicy([]byte("requests: {cpu: 20m}\nnamespaces: {shop: {requests: {memory: 128Mi}}, bank: {requests: {cpu: 0, memory: 0}}}")); err != nil {
		t.Fatal(err)
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const input = `{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web"}},
		"spec":{"serviceAccountName":"web","containers":[{"name":"app","image":"a","resources":{"requests":{"cpu":"1m"}}}]}}`
	pod, err := ParsePod([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]string{
		"shop":  `{"limits":{"memory":"128Mi"},"requests":{"cpu":"20m","memory":"128Mi"}}`, // a limit below its request would be refused
		"bank":  `{"limits":{"memory":"64Mi"}}`,
		"other": `{"limits":{"memory":"64Mi"},"requests":{"cpu":"20m","memory":"16Mi"}}`,
	} {
		p := &planner{Mutator: m, pod: pod, rule: m.cfg.Policy.rule(namespace)}
		if got := string(encode(p.resourcesFor())); got != want {
			t.Errorf("%s: %s, want %s", namespace, got, want)
		}
	}
}

// FuzzParsePolicy demands that what is accepted says nothing that cannot be kept.
func FuzzParsePolicy(f *testing.F) {
	f.Add("delivery: exec\nnamespaces: {shop: {deliveries: [exec]}}")
	f.Add("requests: {cpu: 1e400}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			return
		}
		for _, namespace := range []string{"", "shop"} {
			if r := p.rule(namespace); !r.allows(r.Delivery) {
				t.Errorf("in %q pods get %s, which is not allowed", namespace, r.Delivery)
			}
		}
	})
}
