// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// FuzzPlan feeds hostile pods, in the encoding in which the API server hands pods out. No plan may panic, every patch must apply, and a second plan of the
// patched pod must change nothing.
func FuzzPlan(f *testing.F) {
	inputs, err := filepath.Glob("testdata/*.input.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := yaml.YAMLToJSON(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if pod, err := ParsePod(raw); err == nil {
			planLookedUp(testMutator(t), pod) // as it is, even if no API server would send it
		}
		var pod corev1.Pod
		if json.Unmarshal(raw, &pod) != nil {
			return
		}
		if pod.Labels == nil {
			pod.Labels = map[string]string{}
		}
		pod.Labels["lanyard.dev/inject"] = "true"
		before, err := json.Marshal(&pod)
		if err != nil {
			return
		}
		checkPlans(t, before)
	})
}

// checkPlans plans the pod in a cluster that mounts images and in one that does not, and then what came of it in the other: a cluster may learn it or forget it
// between two passes. Every plan must settle, and leave alone whom it does not concern.
func checkPlans(t *testing.T, before []byte) {
	able, plain := testMutator(t, func(c *Config) { c.ImageVolumes = true }), testMutator(t)
	for _, order := range [][]*Mutator{{able, plain}, {plain, able}} {
		pod := before
		for _, m := range order {
			plan := planJSON(t, m, pod)
			if plan.Decision != Injected {
				continue
			}
			after := apply(t, pod, plan)
			checkSettled(t, m, after)
			checkUntouched(t, pod, after)
			pod = after
		}
	}
}

// FuzzPodOfPieces builds pods of friendly and hostile pieces, one for each byte, because bytes changed at random seldom make a pod.
func FuzzPodOfPieces(f *testing.F) {
	ours := func(container, name string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: "lanyard-env", Path: container + ".env", Key: name}}}
	}
	mount := func(c *corev1.Container, volume, path string) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: path, ReadOnly: true})
	}
	last := func(pod *corev1.Pod) *corev1.Container { return &pod.Spec.Containers[len(pod.Spec.Containers)-1] }
	pieces := []func(*corev1.Pod){
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer"] = "acme/web" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer"] = "acme/empty" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer.b"] = "acme/worker" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer.setup"] = "acme/worker" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/containers"] = "*" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/containers"] = "b,setup" },
		func(p *corev1.Pod) { p.Annotations["kubectl.kubernetes.io/default-container"] = "b" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/status"] = "{}" },
		func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "b"}) },
		func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "app"}) },
		func(p *corev1.Pod) {
			p.Spec.Containers = append([]corev1.Container{{Name: "istio-proxy"}}, p.Spec.Containers...)
		},
		func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "setup"})
		},
		func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "lanyard-init", Env: []corev1.EnvVar{{Name: "LANYARD_REQUEST"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "lanyard-env", MountPath: "/run/lanyard/env"}, {Name: "lanyard-token", MountPath: "/run/lanyard/token"}}})
		},
		func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "lanyard-init"})
		},
		func(p *corev1.Pod) { c := last(p); c.Env = append(c.Env, ours(c.Name, "API_KEY")) },
		func(p *corev1.Pod) { c := last(p); c.Env = append(c.Env, ours(c.Name, "STALE")) },
		func(p *corev1.Pod) { c := last(p); c.Env = append(c.Env, ours("other", "API_KEY")) },
		func(p *corev1.Pod) { c := last(p); c.Env = append(c.Env, corev1.EnvVar{Name: "MODE", Value: "x"}) },
		func(p *corev1.Pod) { c := last(p); c.Env = append(c.Env, corev1.EnvVar{Name: "API_KEY", Value: "x"}) },
		func(p *corev1.Pod) {
			last(p).Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi")}}
		},
		func(p *corev1.Pod) {
			last(p).Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1m")}}
		},
		func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: ptr(int64(0))} },
		func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "lanyard-env", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: "Memory"}}})
		},
		func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "lanyard-env", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		},
		func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "lanyard-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "x", Path: "y"}}}}}})
		},
		func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/delivery"] = "exec" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/delivery"] = "file" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/delivery.b"] = "exec" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/delivery.app"] = "file" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/files-path"] = "/keys" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer"] = "acme/quoted" },
		func(p *corev1.Pod) { last(p).Command = append(last(p).Command, "run", "$(API_KEY") },
		func(p *corev1.Pod) { last(p).Command = append(podspec.Wrapper(podspec.ModeExec), last(p).Command...) },
		func(p *corev1.Pod) {
			last(p).Command = append(podspec.Wrapper(podspec.ModeExec)[:1], last(p).Command...)
		},
		func(p *corev1.Pod) { last(p).Args = append(last(p).Args, "$$(API_KEY)", "$(DB_PASSWORD)") },
		func(p *corev1.Pod) { mount(last(p), "lanyard-bin", "/run/lanyard/bin") },
		func(p *corev1.Pod) { mount(last(p), podspec.ValuesVolume(last(p).Name), "/run/lanyard/values") },
		func(p *corev1.Pod) { mount(last(p), podspec.ValuesVolume(last(p).Name), "/keys") },
		func(p *corev1.Pod) { mount(last(p), "data", "/keys") },
		func(p *corev1.Pod) { mount(last(p), "lanyard-values-app", "/x") },
		func(p *corev1.Pod) {
			c := last(p)
			c.Env = append(c.Env, corev1.EnvVar{Name: "API_KEY_FILE", Value: "/keys/API_KEY"}, corev1.EnvVar{Name: "GONE_FILE", Value: "/run/lanyard/files/GONE"})
		},
		func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: podspec.ValuesVolume(last(p).Name), VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: "Memory"}}})
		},
		func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "lanyard-bin", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		},
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/delivery"] = "direct" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/delivery.b"] = "direct" },
		func(p *corev1.Pod) {
			last(p).Command = append(podspec.Wrapper(podspec.ModeDirect), last(p).Command...)
		},
		func(p *corev1.Pod) { mount(last(p), "lanyard-token", "/run/lanyard/token") },
		func(p *corev1.Pod) {
			c := last(p)
			c.Env = append(c.Env, corev1.EnvVar{Name: "LANYARD_URL", Value: "x"})
		},
		func(p *corev1.Pod) {
			c := last(p)
			c.Env = append(c.Env, corev1.EnvVar{Name: "LANYARD_REQUEST", Value: "{}"}, corev1.EnvVar{Name: "LANYARD_CA", Value: "x"})
		},
		func(p *corev1.Pod) { last(p).TerminationMessagePath = "/tmp/why" },
		func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "lanyard-bin", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "agent:old"}}})
		},
		func(p *corev1.Pod) { c := last(p); c.Command = []string{"app"} },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/refresh"] = "1m" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/refresh-http"] = "http://127.0.0.1:8080/" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/refresh-signal"] = "SIGHUP" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/refresh-restart"] = "true" },
		func(p *corev1.Pod) { last(p).Ports = []corev1.ContainerPort{{ContainerPort: 8080}} },
		func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = ptr(true) },
		func(p *corev1.Pod) { last(p).SecurityContext = &corev1.SecurityContext{RunAsUser: ptr(int64(1000))} },
		func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "lanyard-sidecar", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways),
				Env:          []corev1.EnvVar{{Name: "LANYARD_REQUEST"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "lanyard-token", MountPath: "/run/lanyard/token"}}})
		},
		func(p *corev1.Pod) {
			c := last(p)
			c.Env = append(c.Env, corev1.EnvVar{Name: "STRIPE", Value: "lanyard://acme/stripe"}, corev1.EnvVar{Name: "USES", Value: "$(STRIPE)"})
		},
		func(p *corev1.Pod) {
			c := last(p)
			c.Env = append(c.Env, corev1.EnvVar{Name: "MAIL", Value: "lanyard://acme/mail#2"})
		},
		func(p *corev1.Pod) { // what an earlier injection left of an inline reference, with and without the ENV
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "lanyard-init",
				Env:          []corev1.EnvVar{{Name: "LANYARD_REQUEST", Value: `{"protocol":2,"containers":[{"name":"app","inline":[{"name":"STRIPE","secret":"lanyard://acme/stripe"},{"name":"API_KEY","secret":"lanyard://acme/mail"}]}]}`}},
				VolumeMounts: []corev1.VolumeMount{{Name: "lanyard-env", MountPath: "/run/lanyard/env"}, {Name: "lanyard-token", MountPath: "/run/lanyard/token"}}})
		},
		func(p *corev1.Pod) { c := last(p); c.Env = append(c.Env, ours(c.Name, "STRIPE")) },
		func(p *corev1.Pod) {
			c := last(p)
			c.Env = append(c.Env, corev1.EnvVar{Name: "STRIPE_FILE", Value: "/run/lanyard/files/STRIPE"})
		},
		func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "migrate", Env: []corev1.EnvVar{{Name: "STRIPE", Value: "lanyard://acme/stripe"}}})
		},
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/order"] = "last" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/order"] = "after:setup" },
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/order"] = "first" },
		func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "istio-proxy", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways)})
		},
		func(p *corev1.Pod) { p.Annotations["lanyard.dev/image-config"] = "lookup" },
		func(p *corev1.Pod) { last(p).Image = "registry.example/both:1" },
		func(p *corev1.Pod) { last(p).Image = "registry.example/cmd" },
		func(p *corev1.Pod) { last(p).Image = "registry.example/pinned" + testDigest },
		func(p *corev1.Pod) { last(p).Args = []string{"migrate", "$$(API_KEY)"} },
	}
	f.Add([]byte{0, 26, 71, 72})
	f.Add([]byte{0, 4, 44, 71, 72, 8, 73, 75})
	f.Add([]byte{31, 71, 73, 75, 7})
	f.Add([]byte{0, 28, 71, 74, 8, 74, 4, 33})
	f.Add([]byte{0, 27, 53, 57, 54})
	f.Add([]byte{0, 27, 53, 58, 59, 55})
	f.Add([]byte{0, 4, 8, 29, 53, 56, 60})
	f.Add([]byte{0, 26, 32})
	f.Add([]byte{0, 32, 45})
	f.Add([]byte{0, 32, 45, 47, 48, 49, 50, 51, 52, 24})
	f.Add([]byte{0, 4, 26, 32, 8, 32, 46, 47, 48})
	f.Add([]byte{2, 0, 32, 45, 8, 32, 47, 49, 48, 27})
	f.Add([]byte{63, 64, 26, 32})
	f.Add([]byte{65, 66, 14})
	f.Add([]byte{0, 63, 27, 67, 68})
	f.Add([]byte{0, 11, 72, 70})
	f.Add([]byte{0, 26, 32, 33, 33, 36, 37, 42, 43})
	f.Add([]byte{0, 27, 30, 38, 41})
	f.Add([]byte{31, 32, 8, 28, 4})
	f.Add([]byte{0, 8, 9})
	f.Add([]byte{0, 11, 5, 8, 12, 22, 24})
	f.Add([]byte{1, 12, 14, 22})
	f.Fuzz(func(t *testing.T, choices []byte) {
		pod := corev1.Pod{}
		pod.Labels, pod.Annotations = map[string]string{"lanyard.dev/inject": "true"}, map[string]string{}
		pod.Spec.ServiceAccountName, pod.Spec.Containers = "web", []corev1.Container{{Name: "app"}}
		for _, choice := range choices[:min(len(choices), 40)] {
			pieces[int(choice)%len(pieces)](&pod)
		}
		before, err := json.Marshal(&pod)
		if err != nil {
			t.Fatal(err)
		}
		checkPlans(t, before)
	})
}
