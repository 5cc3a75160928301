// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// injected returns the pod of annotations and containers after a first pass, as a struct to play other webhooks with.
func injected(t *testing.T, input string, changes ...func(*Config)) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := json.Unmarshal([]byte(input), &pod); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(&pod)
	if err != nil {
		t.Fatal(err)
	}
	plan := planJSON(t, testMutator(t, changes...), raw)
	if plan.Decision != Injected {
		t.Fatalf("first pass: %s %v", plan.Decision, plan.Problems)
	}
	pod = corev1.Pod{}
	if err := json.Unmarshal(apply(t, raw, plan), &pod); err != nil {
		t.Fatal(err)
	}
	return &pod
}

const twoContainers = `{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web"%s}},
	"spec":{"serviceAccountName":"web","containers":[{"name":"app","image":"a"},{"name":"b","image":"b"}]}}`

func TestReinvocationAfterOthersChangedThePod(t *testing.T) {
	for name, tc := range map[string]struct {
		annotations string
		change      func(pod *corev1.Pod, agent *corev1.Container)
		want        Decision
		reason      Reason
	}{
		"a service account mount on every container is tolerated": {change: func(_ *corev1.Pod, agent *corev1.Container) {
			agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
		}, want: Unchanged, reason: ReasonInjected},
		"defaults of a LimitRange, a pull policy, an assigned user and foreign ENVs are tolerated": {change: func(_ *corev1.Pod, agent *corev1.Container) {
			agent.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1")}
			agent.ImagePullPolicy = corev1.PullAlways
			agent.SecurityContext.RunAsUser = ptr(int64(1000650000))
			agent.Env = append([]corev1.EnvVar{{Name: "AWS_ROLE_ARN", Value: "x"}}, agent.Env...)
		}, want: Unchanged, reason: ReasonInjected},
		"an init container put in front of ours may stay there": {change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.InitContainers = append([]corev1.Container{{Name: "istio-init"}}, pod.Spec.InitContainers...)
		}, want: Unchanged, reason: ReasonInjected},
		"a container put in front of the default one does not become the default": {change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers = append([]corev1.Container{{Name: "unheard-of"}}, pod.Spec.Containers...)
		}, want: Unchanged, reason: ReasonInjected},
		"a container added later receives values if all do": {annotations: `,"lanyard.dev/containers":"*"`, change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "late"})
		}, want: Injected, reason: ReasonInjected},
		"a known sidecar added later does not, even if all do": {annotations: `,"lanyard.dev/containers":"*"`, change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "linkerd-proxy"})
		}, want: Unchanged, reason: ReasonInjected},
		"another image is put right":  {change: func(_ *corev1.Pod, agent *corev1.Container) { agent.Image = "evil" }, want: Injected, reason: ReasonInjected},
		"privilege is taken back":     {change: func(_ *corev1.Pod, agent *corev1.Container) { agent.SecurityContext.Privileged = ptr(true) }, want: Injected, reason: ReasonInjected},
		"the root user is taken back": {change: func(_ *corev1.Pod, agent *corev1.Container) { agent.SecurityContext.RunAsUser = ptr(int64(0)) }, want: Injected, reason: ReasonInjected},
		"a capability is taken back": {change: func(_ *corev1.Pod, agent *corev1.Container) {
			agent.SecurityContext.Capabilities.Add = []corev1.Capability{"SYS_ADMIN"}
		}, want: Injected, reason: ReasonInjected},
		"a configuration of ours by somebody else is put right": {change: func(_ *corev1.Pod, agent *corev1.Container) {
			agent.Env = append(agent.Env, corev1.EnvVar{Name: podspec.EnvDir, Value: "/elsewhere"})
		}, want: Injected, reason: ReasonInjected},
		"a foreign mount is taken away": {change: func(_ *corev1.Pod, agent *corev1.Container) {
			agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/var/run/secrets/../../run/lanyard"})
		}, want: Injected, reason: ReasonInjected},
		"a lost ENV is put back": {change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers[0].Env = pod.Spec.Containers[0].Env[1:]
		}, want: Injected, reason: ReasonInjected},
		"a doubled ENV is taken away":  {change: func(pod *corev1.Pod, _ *corev1.Container) { e := &pod.Spec.Containers[0].Env; *e = append(*e, (*e)[0]) }, want: Injected, reason: ReasonInjected},
		"a bigger volume is put right": {change: func(pod *corev1.Pod, _ *corev1.Container) { pod.Spec.Volumes[0].EmptyDir.SizeLimit = nil }, want: Injected, reason: ReasonInjected},
		"an optional ENV is refused": {change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers[0].Env[0].ValueFrom.FileKeyRef.Optional = ptr(true)
		}, want: Denied, reason: ReasonVolumeMisused},
		"an ENV of another container is refused": {change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers[1].Env = pod.Spec.Containers[0].Env
		}, want: Denied, reason: ReasonVolumeMisused},
		"a mount of our volume is refused": {change: func(pod *corev1.Pod, _ *corev1.Container) {
			pod.Spec.Containers[1].VolumeMounts = []corev1.VolumeMount{{Name: podspec.VolumeEnv, MountPath: "/x"}}
		}, want: Denied, reason: ReasonVolumeMisused},
		"an agent that became a sidecar is refused": {change: func(_ *corev1.Pod, agent *corev1.Container) {
			agent.RestartPolicy = ptr(corev1.ContainerRestartPolicyAlways)
		}, want: Denied, reason: ReasonNameTaken},
		"a second agent is refused": {change: func(pod *corev1.Pod, agent *corev1.Container) {
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, *agent)
		}, want: Denied, reason: ReasonNameTaken},
	} {
		t.Run(name, func(t *testing.T) {
			pod := injected(t, strings.Replace(twoContainers, "%s", tc.annotations, 1))
			tc.change(pod, &pod.Spec.InitContainers[0])
			expectPlan(t, pod, tc.want, tc.reason)
		})
	}
}

// expectPlan plans a pod that was injected and changed since. If it is to be injected again, that must settle it.
func expectPlan(t *testing.T, pod *corev1.Pod, want Decision, reason Reason) {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	plan := planJSON(t, testMutator(t), raw)
	if plan.Decision != want || plan.Reason != reason {
		t.Fatalf("got %s (%s), want %s (%s); patch %s, problems %v", plan.Decision, plan.Reason, want, reason, plan.Patch, plan.Problems)
	}
	if plan.Decision == Injected {
		checkSettled(t, testMutator(t), apply(t, raw, plan))
	}
}

func TestReinvocationOfWrappedPods(t *testing.T) {
	const input = `{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web","lanyard.dev/delivery":"exec","lanyard.dev/delivery.b":"file",
		"lanyard.dev/consumer.b":"acme/worker"}},"spec":{"serviceAccountName":"web","containers":[{"name":"app","image":"a","command":["app"],"args":["x"]},{"name":"b","image":"b"}]}}`
	for name, tc := range map[string]struct {
		change func(pod *corev1.Pod, app, b *corev1.Container)
		want   Decision
		reason Reason
	}{
		"untouched": {func(*corev1.Pod, *corev1.Container, *corev1.Container) {}, Unchanged, ReasonInjected},
		"a container put in front does not become the default": {func(pod *corev1.Pod, _, _ *corev1.Container) {
			pod.Spec.Containers = append([]corev1.Container{{Name: "unheard-of"}}, pod.Spec.Containers...)
		}, Unchanged, ReasonInjected},
		"a foreign mount is none of ours": {func(_ *corev1.Pod, app, _ *corev1.Container) {
			app.VolumeMounts = append(app.VolumeMounts, corev1.VolumeMount{Name: "x", MountPath: "/var/run/secrets/x"})
		}, Unchanged, ReasonInjected},
		"a wrapper that was lost is put back": {func(_ *corev1.Pod, app, _ *corev1.Container) { app.Command = app.Command[3:] }, Injected, ReasonInjected},
		"a second wrapper is taken away": {func(_ *corev1.Pod, app, _ *corev1.Container) {
			app.Command = append(podspec.Wrapper(podspec.ModeExec), app.Command...)
		}, Injected, ReasonInjected},
		"a wrapper where none belongs is taken away": {func(_ *corev1.Pod, _, b *corev1.Container) {
			b.Command = append(podspec.Wrapper(podspec.ModeExec), "b")
		}, Injected, ReasonInjected},
		"another wrapper around ours is refused": {func(_ *corev1.Pod, app, _ *corev1.Container) {
			app.Command = append([]string{app.Command[0], "other"}, app.Command...)
		}, Denied, ReasonWrapper},
		"the command that was lost is missed": {func(_ *corev1.Pod, app, _ *corev1.Container) { app.Command = nil }, Denied, ReasonNoCommand},
		"a lost mount is put back":            {func(_ *corev1.Pod, app, _ *corev1.Container) { app.VolumeMounts = app.VolumeMounts[:1] }, Injected, ReasonInjected},
		"a moved mount is put back":           {func(_ *corev1.Pod, app, _ *corev1.Container) { app.VolumeMounts[1].MountPath = "/x" }, Injected, ReasonInjected},
		"a writable mount is refused":         {func(_ *corev1.Pod, app, _ *corev1.Container) { app.VolumeMounts[0].ReadOnly = false }, Denied, ReasonVolumeMisused},
		"a mount in another container is refused": {func(_ *corev1.Pod, app, b *corev1.Container) {
			b.VolumeMounts = append(b.VolumeMounts, app.VolumeMounts[1])
		}, Denied, ReasonVolumeMisused},
		"a mount of a part is refused": {func(_ *corev1.Pod, app, _ *corev1.Container) { app.VolumeMounts[1].SubPath = "x" }, Denied, ReasonVolumeMisused},
		"a mount in a debugging container is refused": {func(pod *corev1.Pod, app, _ *corev1.Container) {
			pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", VolumeMounts: app.VolumeMounts[:1]}}}
		}, Denied, ReasonVolumeMisused},
		"a path that was changed is refused": {func(_ *corev1.Pod, _, b *corev1.Container) { b.Env[0].Value = "/etc/passwd" }, Denied, ReasonEnvConflict},
		"a path that was lost is put back":   {func(_ *corev1.Pod, _, b *corev1.Container) { b.Env = nil }, Injected, ReasonInjected},
		"a volume on disk is refused":        {func(pod *corev1.Pod, _, _ *corev1.Container) { pod.Spec.Volumes[2].EmptyDir.Medium = "" }, Denied, ReasonNameTaken},
		"a binary in memory is refused":      {func(pod *corev1.Pod, _, _ *corev1.Container) { pod.Spec.Volumes[1].EmptyDir.Medium = "Memory" }, Denied, ReasonNameTaken},
		"a volume nobody needs is taken away": {func(pod *corev1.Pod, _, _ *corev1.Container) {
			v := pod.Spec.Volumes[2]
			v.Name = "lanyard-values-gone"
			pod.Spec.Volumes = append(pod.Spec.Volumes, v)
		}, Injected, ReasonInjected},
	} {
		t.Run(name, func(t *testing.T) {
			pod := injected(t, input)
			tc.change(pod, &pod.Spec.Containers[0], &pod.Spec.Containers[1])
			raw, err := json.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			plan := planJSON(t, testMutator(t), raw)
			if plan.Decision != tc.want || plan.Reason != tc.reason {
				t.Fatalf("got %s (%s), want %s (%s); patch %s, problems %v", plan.Decision, plan.Reason, tc.want, tc.reason, plan.Patch, plan.Problems)
			}
			if plan.Decision != Injected {
				return
			}
			after := apply(t, raw, plan)
			checkSettled(t, testMutator(t), after)
			var repaired corev1.Pod
			if err := json.Unmarshal(after, &repaired); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append(podspec.Wrapper(podspec.ModeExec), "app"), repaired.Spec.Containers[0].Command); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAutoDependsOnTheClusterAndTheCommand(t *testing.T) {
	const wrappable = `{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web"%s}},
		"spec":{"serviceAccountName":"web","containers":[{"name":"app","image":"a","command":["app"]}]}}`
	tooOld, unknown := func(c *Config) { c.Unsupported = "the API server is 1.34" }, func(c *Config) { c.SupportUnknown = true }
	oldNode, noNode := func(c *Config) { c.NodesWithoutEnvfile = "node n is old" }, func(c *Config) { c.NodesUnknown = true }
	images := func(c *Config) { c.ImageVolumes = true }
	for name, tc := range map[string]struct {
		config     func(*Config)
		annotation string
		want       wire.Delivery // empty if it is refused
		why        string        // or the reason it is refused for
	}{
		"able":                     {func(*Config) {}, "", wire.DeliveryEnvfile, "auto"},
		"too old":                  {tooOld, "", wire.DeliveryExec, "auto: the API server is 1.34"},
		"not known yet":            {unknown, "", "", string(ReasonSupportUnknown)},
		"too old for envfile":      {tooOld, `,"lanyard.dev/delivery":"envfile"`, "", string(ReasonUnsupported)},
		"too old, and exec chosen": {tooOld, `,"lanyard.dev/delivery":"exec"`, wire.DeliveryExec, "annotation"},
		"not known, exec chosen":   {unknown, `,"lanyard.dev/delivery.app":"exec"`, wire.DeliveryExec, "annotation"},
		"an old node":              {oldNode, "", wire.DeliveryExec, "auto: node n is old"},
		"an old node, and envfile": {oldNode, `,"lanyard.dev/delivery":"envfile"`, wire.DeliveryEnvfile, "annotation"},
		"nodes not known yet":      {noNode, "", "", string(ReasonSupportUnknown)},
		"direct is never chosen":   {images, "", wire.DeliveryEnvfile, "auto"},
		"direct, able":             {images, `,"lanyard.dev/delivery":"direct"`, wire.DeliveryDirect, "annotation"},
		"direct, not able":         {func(*Config) {}, `,"lanyard.dev/delivery":"direct"`, "", string(ReasonUnsupported)},
		"direct, version unknown":  {unknown, `,"lanyard.dev/delivery":"direct"`, "", string(ReasonSupportUnknown)},
		"direct, nodes unknown":    {noNode, `,"lanyard.dev/delivery":"direct"`, "", string(ReasonSupportUnknown)},
		"not known, file chosen":   {unknown, `,"lanyard.dev/delivery":"file"`, wire.DeliveryFile, "annotation"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			tc.config(&cfg)
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			raw := []byte(strings.Replace(wrappable, "%s", tc.annotation, 1))
			plan := planJSON(t, m, raw)
			if tc.want == "" {
				if plan.Decision != Denied || string(plan.Reason) != tc.why {
					t.Errorf("got %s (%s), want denied (%s)", plan.Decision, plan.Reason, tc.why)
				}
				return
			}
			after, err := ParsePod(apply(t, raw, plan))
			if err != nil {
				t.Fatal(err)
			}
			var status Status
			if err := json.Unmarshal([]byte(after.Metadata.Annotations[podspec.AnnotationStatus]), &status); err != nil {
				t.Fatal(err)
			}
			if c := status.Containers[0]; c.Delivery != tc.want || c.Why != tc.why {
				t.Errorf("chose %s because of %q, want %s because of %q", c.Delivery, c.Why, tc.want, tc.why)
			}
		})
	}
}

func TestReferencesAreReadAsTheKubeletReadsThem(t *testing.T) {
	for text, want := range map[string][]string{
		"$(A)": {"A"}, "$$(A)": nil, "$$$(A)": {"A"}, "x$(A)y$(B)": {"A", "B"}, "$(A": nil, "$A": nil, "$": nil, "": nil, "$()": {""}, "$($(A)": {"$(A"},
	} {
		var got []string
		references(text, func(name string) { got = append(got, name) })
		if !slices.Equal(got, want) {
			t.Errorf("%q refers to %q, want %q", text, got, want)
		}
	}
}

func TestPodsAreRefusedWhileTheInjectorIsNotReady(t *testing.T) {
	raw := []byte(strings.Replace(twoContainers, "%s", "", 1))
	for name, tc := range map[string]struct {
		config func(*Config)
		names  Names
		want   Reason
	}{
		"no names yet":           {names: nil, want: ReasonNamesUnavailable},
		"the cluster is too old": {config: func(c *Config) { c.Unsupported = "the API server is 1.34" }, names: testNames, want: ReasonUnsupported},
		"the cluster is unknown": {config: func(c *Config) { c.SupportUnknown = true }, names: testNames, want: ReasonSupportUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			if tc.config != nil {
				tc.config(&cfg)
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			pod, err := ParsePod(raw)
			if err != nil {
				t.Fatal(err)
			}
			if plan := m.Plan(pod, "shop", tc.names); plan.Decision != Denied || plan.Reason != tc.want {
				t.Errorf("got %s (%s), want denied (%s)", plan.Decision, plan.Reason, tc.want)
			}
		})
	}
}

func TestHostilePodsCostLittle(t *testing.T) {
	huge := &Pod{Metadata: Metadata{Labels: map[string]string{podspec.LabelInject: podspec.InjectTrue}, Annotations: map[string]string{
		podspec.AnnotationConsumer: "acme/web", podspec.AnnotationContainers: podspec.AllContainers,
	}}, Spec: Spec{ServiceAccountName: "web", Containers: make([]container, 100_000)}}
	plan := testMutator(t).Plan(huge, "shop", testNames)
	if plan.Reason != ReasonTooMany {
		t.Errorf("100,000 containers: %s (%s), want %s", plan.Decision, plan.Reason, ReasonTooMany)
	}
	long := strings.Repeat("x", 256<<10)
	for _, key := range []string{podspec.AnnotationConsumer, podspec.AnnotationContainers, podspec.AnnotationDelivery, podspec.Domain + long} {
		pod := &Pod{Metadata: Metadata{Labels: map[string]string{podspec.LabelInject: podspec.InjectTrue}, Annotations: map[string]string{podspec.AnnotationConsumer: "acme/web", key: long}},
			Spec: Spec{ServiceAccountName: "web", Containers: []container{{Name: "app"}}}}
		if plan := testMutator(t).Plan(pod, "shop", testNames); plan.Decision != Denied || len(plan.Message()) > 2048 {
			t.Errorf("annotation %.30s…: %s with a message of %d bytes", key, plan.Decision, len(plan.Message()))
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no image":         func(c *Config) { c.Image = "" },
		"no CA":            func(c *Config) { c.CA = "" },
		"plain http":       func(c *Config) { c.URL = "http://registry" },
		"a path":           func(c *Config) { c.URL = "https://registry/v1" },
		"no host":          func(c *Config) { c.HostNetworkURL = "https://" },
		"pull policy":      func(c *Config) { c.PullPolicy = "Sometimes" },
		"endless deadline": func(c *Config) { c.Deadline = podspec.MaxDeadline + 1 },
	} {
		cfg := testConfig()
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTheRequestIsOneTheRegistryReads(t *testing.T) {
	pod := injected(t, strings.Replace(twoContainers, "%s", `,"lanyard.dev/consumer.b":"acme/worker"`, 1))
	for _, env := range pod.Spec.InitContainers[0].Env {
		if env.Name != podspec.EnvRequest {
			continue
		}
		var r wire.ResolveRequest
		if err := json.Unmarshal([]byte(env.Value), &r); err != nil {
			t.Fatal(err)
		}
		if r.Protocol != wire.ProtocolConsumers || len(r.Containers) != 2 || r.Containers[1].Name != "b" || r.Containers[1].Consumer != "acme/worker" || r.Containers[1].Envs[0] != "QUEUE_URL" {
			t.Errorf("request = %+v", r)
		}
	}
}

func TestANameCannotLeaveItsString(t *testing.T) {
	const hostile = `X"},{"op":"add","path":"/spec/hostPID","value":true},{"name":"\`
	names := namesMap{"acme/web": {Envs: []wire.EnvName{{Name: hostile}, {Name: "PLAIN"}}, Bindings: testNames["acme/web"].Bindings}}
	for _, env := range []string{"", `,"env":[{"name":"A","value":"b"}]`} {
		raw := []byte(`{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web"}},"spec":{"serviceAccountName":"web","containers":[{"name":"app"` + env + `}]}}`)
		pod, err := ParsePod(raw)
		if err != nil {
			t.Fatal(err)
		}
		after, err := ParsePod(apply(t, raw, testMutator(t).Plan(pod, "shop", names)))
		if err != nil {
			t.Fatal(err)
		}
		if after.Spec.HostPID || after.Spec.Containers[0].Env[0].Name != hostile || after.Spec.Containers[0].Env[1].Name != "PLAIN" {
			t.Errorf("pod = %+v", after.Spec)
		}
	}
}
