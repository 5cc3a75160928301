// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// ordered makes a pod with init containers, written name, name* for a native sidecar, or name! for one that receives values.
func ordered(order, inits string) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Labels = map[string]string{podspec.LabelInject: podspec.InjectTrue}
	pod.Annotations = map[string]string{podspec.AnnotationConsumer: "acme/web"}
	if order != "" {
		pod.Annotations[podspec.AnnotationOrder] = order
	}
	pod.Spec.ServiceAccountName, pod.Spec.Containers = "web", []corev1.Container{{Name: "app", Image: "a"}}
	pod.Spec.InitContainers = initContainers(inits)
	for _, c := range strings.Fields(inits) {
		if name, receives := strings.CutSuffix(c, "!"); receives {
			pod.Annotations[podspec.AnnotationConsumerPrefix+name] = "acme/worker"
		}
	}
	return pod
}

func initContainers(text string) (list []corev1.Container) {
	for _, field := range strings.Fields(text) {
		c := corev1.Container{Name: strings.TrimRight(field, "*!"), Image: "i"}
		if strings.HasSuffix(field, "*") {
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
		}
		list = append(list, c)
	}
	return list
}

func order(pod *corev1.Pod) string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, strings.TrimPrefix(c.Name, "lanyard-"))
	}
	return strings.Join(names, " ")
}

// replan plans the pod, applies the patch, and demands that another plan changes nothing. It returns the problems of a pod that is refused.
func replan(t *testing.T, m *Mutator, pod *corev1.Pod) (*corev1.Pod, []Problem) {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	plan := planJSON(t, m, raw)
	if plan.Decision == Denied {
		return nil, plan.Problems
	}
	after := apply(t, raw, plan)
	if again := planJSON(t, m, after); again.Decision != Unchanged {
		t.Errorf("second plan: %s, patch %s, problems %v", again.Decision, again.Patch, again.Problems)
	}
	var out corev1.Pod
	if err := json.Unmarshal(after, &out); err != nil {
		t.Fatal(err)
	}
	return &out, nil
}

func TestOrder(t *testing.T) {
	for name, tc := range map[string]struct{ order, inits, want string }{
		"by default it is first": {"", "a b", "init a b"},
		"alone":                  {"", "", "init"},
		"by default it is behind a mesh's native sidecar":       {"", "istio-validation istio-proxy* a", "istio-validation istio-proxy init a"},
		"but not behind another native sidecar":                 {"", "logs* a", "init logs a"},
		"nor behind an init container with a mesh's name":       {"", "istio-proxy a", "init istio-proxy a"},
		"nor behind one that receives values":                   {"", "a! linkerd-proxy* b", "init a linkerd-proxy b"},
		"behind the last of several":                            {"", "linkerd-init linkerd-proxy* kuma-sidecar* a", "linkerd-init linkerd-proxy kuma-sidecar init a"},
		"first is first":                                        {"first", "istio-proxy* a", "init istio-proxy a"},
		"last is last":                                          {"last", "a logs* b", "a logs b init"},
		"last of none":                                          {"last", "", "init"},
		"after one":                                             {"after:a", "a b", "a init b"},
		"after the last one":                                    {"after:b", "a b", "a b init"},
		"before one that receives values":                       {"after:a", "a b!", "a init b"},
		"last, and one receives values":                         {"last", "a b!", `order_invalid: init container "b" receives values and would run before the init agent`},
		"after one that receives values":                        {"after:b", "a b!", `order_invalid: init container "b" receives values and would run before the init agent`},
		"after one that is not there":                           {"after:c", "a b", `order_invalid: the pod has no init container "c"`},
		"after a container that is no init container":           {"after:app", "a", `order_invalid: the pod has no init container "app"`},
		"after ourselves":                                       {"after:lanyard-init", "a", `order_invalid: "after:lanyard-init" is no place`},
		"after nothing":                                         {"after:", "a", `order_invalid: "after:" is no place`},
		"a word":                                                {"second", "a", `order_invalid: "second" is no place`},
		"capitals":                                              {"First", "a", `order_invalid: "First" is no place`},
		"first in front of one that receives values is no feat": {"first", "a!", "init a"},
	} {
		t.Run(name, func(t *testing.T) {
			pod, problems := replan(t, testMutator(t), ordered(tc.order, tc.inits))
			got := ""
			if pod != nil {
				got = order(pod)
			}
			for _, p := range problems {
				got = fmt.Sprintf("%s: %s", p.Reason, p.Detail)
				if p.Field != "metadata.annotations[lanyard.dev/order]" {
					t.Errorf("field = %s", p.Field)
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Other injectors add their containers after us, in front or behind, and the API server asks again.
func TestOrderUnderReinvocation(t *testing.T) {
	prepend := func(pod *corev1.Pod, inits string) {
		pod.Spec.InitContainers = append(initContainers(inits), pod.Spec.InitContainers...)
	}
	push := func(pod *corev1.Pod, inits string) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, initContainers(inits)...)
	}
	for name, tc := range map[string]struct {
		order, inits string
		add          func(*corev1.Pod, string)
		added, want  string
	}{
		"istio-init in front stays there":              {"", "a", prepend, "istio-init", "istio-init init a"},
		"istio-init behind, where it does no harm":     {"", "a", push, "istio-init", "init a istio-init"},
		"a native proxy in front":                      {"", "a", prepend, "istio-validation istio-proxy*", "istio-validation istio-proxy init a"},
		"a native proxy behind, which is waited for":   {"", "a", push, "linkerd-init linkerd-proxy*", "a linkerd-init linkerd-proxy init"},
		"a native proxy behind what receives values":   {"", "a!", push, "linkerd-proxy*", "init a linkerd-proxy"},
		"first comes back to the front":                {"first", "a", prepend, "istio-init", "init istio-init a"},
		"last comes back to the end":                   {"last", "a", push, "late", "a late init"},
		"after one stays directly behind it":           {"after:a", "a b", prepend, "istio-init", "istio-init a init b"},
		"after one that another injector adds in time": {"", "a", prepend, "vault-agent-init", "vault-agent-init init a"},
	} {
		for _, verify := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, verified %t", name, verify), func(t *testing.T) {
				cfg := testConfig()
				cfg.Verify = verify
				m, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				pod, problems := replan(t, m, ordered(tc.order, tc.inits))
				if pod == nil {
					t.Fatal(problems)
				}
				tc.add(pod, tc.added)
				pod, problems = replan(t, m, pod)
				if pod == nil {
					t.Fatal(problems)
				}
				got := order(pod)
				if verify { // the verifier comes directly after the agent
					if !strings.Contains(got, "init verify") {
						t.Errorf("got %q", got)
					}
					got = strings.Replace(got, "init verify", "init", 1)
				}
				if got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		}
	}
}
