// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

const inlinePod = `{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/delivery":"DELIVERY"}},"spec":{"serviceAccountName":"web","containers":[
	{"name":"app","image":"a","command":["serve"],"env":[{"name":"MODE","value":"live"},{"name":"STRIPE","value":"lanyard://acme/stripe#2"},{"name":"LAST","value":"x"}]}]}}`

func TestAnInlineReferenceSurvivesEveryChangeOfDelivery(t *testing.T) {
	deliveries := []wire.Delivery{wire.DeliveryEnvfile, wire.DeliveryExec, wire.DeliveryFile}
	want := map[wire.Delivery]corev1.EnvVar{
		wire.DeliveryEnvfile: {Name: "STRIPE", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: podspec.VolumeEnv, Path: "app.env", Key: "STRIPE"}}},
		wire.DeliveryExec:    {Name: "STRIPE", Value: "lanyard://acme/stripe#2"},
		wire.DeliveryFile:    {Name: "STRIPE_FILE", Value: "/run/lanyard/files/STRIPE"},
	}
	for _, from := range deliveries {
		for _, to := range deliveries { // a pod that was copied or restored, with another annotation
			t.Run(string(from+" to "+to), func(t *testing.T) {
				pod := injected(t, strings.Replace(inlinePod, "DELIVERY", string(from), 1))
				pod.Annotations[podspec.AnnotationDelivery] = string(to)
				raw, err := json.Marshal(pod)
				if err != nil {
					t.Fatal(err)
				}
				after := apply(t, raw, planJSON(t, testMutator(t), raw))
				checkSettled(t, testMutator(t), after)
				var got corev1.Pod
				if err := json.Unmarshal(after, &got); err != nil {
					t.Fatal(err)
				}
				have, err := json.Marshal(got.Spec.Containers[0].Env)
				if err != nil {
					t.Fatal(err)
				}
				wanted, err := json.Marshal([]corev1.EnvVar{{Name: "MODE", Value: "live"}, want[to], {Name: "LAST", Value: "x"}})
				if err != nil {
					t.Fatal(err)
				}
				if string(have) != string(wanted) {
					t.Errorf("ENVs are %s, want %s", have, wanted)
				}
				var request wire.ResolveRequest
				for _, e := range got.Spec.InitContainers[0].Env {
					if e.Name == podspec.EnvRequest {
						if err := json.Unmarshal([]byte(e.Value), &request); err != nil {
							t.Fatal(err)
						}
					}
				}
				if c := request.Containers[0]; request.Protocol != wire.ProtocolInline || c.Consumer != "" || len(c.Inline) != 1 || c.Inline[0].Secret != "lanyard://acme/stripe#2" {
					t.Errorf("request = %+v", request)
				}
			})
		}
	}
}

func TestReinvocationOfPodsWithInlineReferences(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(pod *corev1.Pod, app *corev1.Container)
		want   Decision
		reason Reason
	}{
		"untouched": {func(*corev1.Pod, *corev1.Container) {}, Unchanged, ReasonInjected},
		"a container and an ENV put in front": {func(pod *corev1.Pod, app *corev1.Container) {
			app.Env = append([]corev1.EnvVar{{Name: "INJECTED", Value: "x"}}, app.Env...)
			pod.Spec.Containers = append([]corev1.Container{{Name: "istio-proxy"}}, pod.Spec.Containers...)
		}, Unchanged, ReasonInjected},
		"a container that refers to another secret is added": {func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "late", Env: []corev1.EnvVar{{Name: "MAIL", Value: "lanyard://acme/mail"}}})
		}, Injected, ReasonInjected},
		"a reference put back is taken again": {func(_ *corev1.Pod, app *corev1.Container) {
			app.Env[1] = corev1.EnvVar{Name: "STRIPE", Value: "lanyard://acme/stripe#2"}
		}, Injected, ReasonInjected},
		"the agent moved": {func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.InitContainers = append([]corev1.Container{{Name: "istio-init"}}, pod.Spec.InitContainers...)
		}, Unchanged, ReasonInjected},
		"the request names a secret that is not granted": {func(pod *corev1.Pod, _ *corev1.Container) {
			for i := range pod.Spec.InitContainers[0].Env {
				e := &pod.Spec.InitContainers[0].Env[i]
				e.Value = strings.Replace(e.Value, "acme/stripe", "acme/theirs", 1)
			}
		}, Denied, ReasonNotGranted},
		"the request is gone, and with it what the pod refers to": {func(pod *corev1.Pod, _ *corev1.Container) {
			for i := range pod.Spec.InitContainers[0].Env {
				if e := &pod.Spec.InitContainers[0].Env[i]; e.Name == podspec.EnvRequest {
					e.Value = "{}"
				}
			}
		}, Denied, ReasonNoConsumer},
	} {
		t.Run(name, func(t *testing.T) {
			pod := injected(t, strings.Replace(inlinePod, "DELIVERY", "envfile", 1))
			tc.change(pod, &pod.Spec.Containers[0])
			expectPlan(t, pod, tc.want, tc.reason)
		})
	}
}

// The consumer alone would let such a pod start: without the value it refers to.
func TestAPodThatLostItsInlineReferenceIsRefused(t *testing.T) {
	withConsumer := strings.Replace(inlinePod, `"lanyard.dev/delivery"`, `"lanyard.dev/consumer":"acme/web","lanyard.dev/delivery"`, 1)
	request := func(pod *corev1.Pod, change func(*wire.ResolveRequest)) {
		for i := range pod.Spec.InitContainers[0].Env {
			if e := &pod.Spec.InitContainers[0].Env[i]; e.Name == podspec.EnvRequest {
				var r wire.ResolveRequest
				if err := json.Unmarshal([]byte(e.Value), &r); err != nil {
					t.Fatal(err)
				}
				change(&r)
				e.Value = string(encode(r))
			}
		}
	}
	for name, tc := range map[string]struct {
		delivery wire.Delivery
		change   func(pod *corev1.Pod)
		want     Decision
		reason   Reason
		field    string
	}{
		"the request names it no more": {wire.DeliveryEnvfile, func(pod *corev1.Pod) {
			request(pod, func(r *wire.ResolveRequest) { r.Containers[0].Inline = nil })
		}, Denied, ReasonInlineLost, "spec.containers[0].env[3]"},
		"the request names it no more, files": {wire.DeliveryFile, func(pod *corev1.Pod) {
			request(pod, func(r *wire.ResolveRequest) { r.Containers[0].Inline = nil })
		}, Denied, ReasonInlineLost, "spec.containers[0].env[3]"},
		"the request is empty": {wire.DeliveryEnvfile, func(pod *corev1.Pod) {
			request(pod, func(r *wire.ResolveRequest) { r.Containers = nil })
		}, Denied, ReasonInlineLost, "spec.containers[0].env[3]"},
		"the request's ENV is gone": {wire.DeliveryEnvfile, func(pod *corev1.Pod) {
			agent := &pod.Spec.InitContainers[0]
			agent.Env = slices.DeleteFunc(agent.Env, func(e corev1.EnvVar) bool { return e.Name == podspec.EnvRequest })
		}, Denied, ReasonNameTaken, "spec.initContainers[0].name"},
		"the init agent is gone":                             {wire.DeliveryEnvfile, func(pod *corev1.Pod) { pod.Spec.InitContainers = nil }, Denied, ReasonInlineLost, "spec.containers[0].env[3]"},
		"the container has another name":                     {wire.DeliveryEnvfile, func(pod *corev1.Pod) { pod.Spec.Containers[0].Name = "renamed" }, Denied, ReasonVolumeMisused, "spec.containers[0].env[0]"},
		"the init agent is gone, and the reference is there": {wire.DeliveryExec, func(pod *corev1.Pod) { pod.Spec.InitContainers = nil }, Injected, ReasonInjected, ""},
		"an ENV that the consumer has no more is taken away": {wire.DeliveryEnvfile, func(pod *corev1.Pod) {
			request(pod, func(r *wire.ResolveRequest) { r.Containers[0].Envs = append(r.Containers[0].Envs, "GONE") })
			gone := *pod.Spec.Containers[0].Env[0].DeepCopy()
			gone.Name, gone.ValueFrom.FileKeyRef.Key = "GONE", "GONE"
			pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, gone)
		}, Injected, ReasonInjected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pod := injected(t, strings.Replace(withConsumer, "DELIVERY", string(tc.delivery), 1))
			tc.change(pod)
			expectPlan(t, pod, tc.want, tc.reason)
			if tc.want != Denied {
				return
			}
			raw, err := json.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			if problems := planJSON(t, testMutator(t), raw).Problems; problems[0].Field != tc.field {
				t.Errorf("field %s, want %s", problems[0].Field, tc.field)
			}
		})
	}
}

func TestInlineSecretsAreFoundBeforeAndAfterInjection(t *testing.T) {
	want := []ref.Secret{{Org: "acme", Name: "stripe", Version: 2}}
	text := strings.Replace(inlinePod, "DELIVERY", "envfile", 1)
	after, err := json.Marshal(injected(t, text))
	if err != nil {
		t.Fatal(err)
	}
	for what, raw := range map[string][]byte{"before": []byte(text), "after": after} {
		pod, err := ParsePod(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := pod.InlineSecrets(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}

func TestManyInlineReferencesCostLittle(t *testing.T) {
	pod := &Pod{Metadata: Metadata{Labels: map[string]string{podspec.LabelInject: podspec.InjectTrue}}, Spec: Spec{ServiceAccountName: "web", Containers: make([]container, 50_000)}}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Env = []envVar{{Name: "A", Value: "lanyard://acme/stripe"}}
	}
	if plan := testMutator(t).Plan(pod, "shop", testNames); plan.Reason != ReasonTooMany {
		t.Errorf("50,000 containers: %s (%s)", plan.Decision, plan.Reason)
	}
	long := make([]envVar, 50_000)
	for i := range long {
		long[i] = envVar{Name: "A", Value: "lanyard://acme/stripe"}
	}
	pod.Spec.Containers = []container{{Name: "app", Env: long}}
	if plan := testMutator(t).Plan(pod, "shop", testNames); plan.Reason != ReasonTooMany {
		t.Errorf("50,000 ENVs: %s (%s)", plan.Decision, plan.Reason)
	}
	for i := range long {
		long[i].Value = "lanyard://" + strings.Repeat("x", 1000)
	}
	if plan := testMutator(t).Plan(pod, "shop", testNames); plan.Decision != Denied || len(plan.Message()) > 8<<10 {
		t.Errorf("50,000 malformed ones: %s with a message of %d bytes", plan.Decision, len(plan.Message()))
	}
}
