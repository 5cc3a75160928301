// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func refreshPod(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".input.yaml")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestARefreshDependsOnTheCluster(t *testing.T) {
	old, older := func(c *Config) { c.RestartUnsupported = "the API server is 1.35" }, func(c *Config) { c.RefreshUnsupported = "the API server is 1.28" }
	for name, tc := range map[string]struct {
		pod    string
		config func(*Config)
		want   Reason
	}{
		"able":                             {"refresh-restart", func(*Config) {}, ReasonInjected},
		"too old for a restart":            {"refresh-restart", old, ReasonRefreshUnsupported},
		"too old for a restart not wanted": {"refresh", old, ReasonInjected},
		"too old for sidecars":             {"refresh", older, ReasonRefreshUnsupported},
		"not known yet":                    {"refresh", func(c *Config) { c.SupportUnknown = true }, ReasonSupportUnknown},
		"not known yet, and off":           {"refresh-off", func(c *Config) { c.SupportUnknown = true }, ReasonInjected},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			tc.config(&cfg)
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if plan := planJSON(t, m, refreshPod(t, tc.pod)); plan.Reason != tc.want {
				t.Errorf("got %s (%s), want %s", plan.Decision, plan.Reason, tc.want)
			}
		})
	}
}

// What another webhook or a user changes about the sidecar of an injected pod is undone.
func TestTheSidecarIsMadeExactlyOurs(t *testing.T) {
	before := refreshPod(t, "refresh-restart")
	injected := apply(t, before, planJSON(t, testMutator(t), before))
	for name, change := range map[string]func(c *corev1.Container){
		"no probe":               func(c *corev1.Container) { c.StartupProbe = nil },
		"a probe that succeeds":  func(c *corev1.Container) { c.StartupProbe.Exec.Command = []string{"/lanyard-agent", "version"} },
		"a probe of another way": func(c *corev1.Container) { c.StartupProbe.Exec = nil },
		"a patient probe":        func(c *corev1.Container) { c.StartupProbe.FailureThreshold = 1 << 20 },
		"a liveness probe":       func(c *corev1.Container) { c.LivenessProbe = c.StartupProbe },
		"a readiness probe":      func(c *corev1.Container) { c.ReadinessProbe = c.StartupProbe },
		"no restart rule":        func(c *corev1.Container) { c.RestartPolicyRules = nil },
		"another restart rule":   func(c *corev1.Container) { c.RestartPolicyRules[0].ExitCodes.Values = []int32{0} },
		"another interval": func(c *corev1.Container) {
			for i := range c.Env {
				if c.Env[i].Name == "LANYARD_REFRESH" {
					c.Env[i].Value = "24h"
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var pod corev1.Pod
			if err := json.Unmarshal(injected, &pod); err != nil {
				t.Fatal(err)
			}
			change(&pod.Spec.InitContainers[0])
			changed, err := json.Marshal(&pod)
			if err != nil {
				t.Fatal(err)
			}
			plan := planJSON(t, testMutator(t), changed)
			if plan.Decision != Injected {
				t.Fatalf("%s (%s)", plan.Decision, plan.Reason)
			}
			again := apply(t, changed, plan)
			checkSettled(t, testMutator(t), again)
			var repaired corev1.Pod
			if err := json.Unmarshal(again, &repaired); err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(podOf(t, injected).Spec.InitContainers[0])
			if got, _ := json.Marshal(repaired.Spec.InitContainers[0]); string(got) != string(want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func podOf(t *testing.T, raw []byte) corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// Each value of a pod is asked for by exactly one of our containers.
func TestInitAgentAndSidecarShareNothing(t *testing.T) {
	before := refreshPod(t, "refresh-beside-other-deliveries")
	pod := podOf(t, apply(t, before, planJSON(t, testMutator(t), before)))
	asked := map[string]string{}
	for _, c := range pod.Spec.InitContainers[:2] {
		for _, e := range c.Env {
			if e.Name == "LANYARD_REQUEST" {
				for _, name := range []string{"app", "files"} {
					if strings.Contains(e.Value, `"name":"`+name+`"`) {
						asked[name] += c.Name
					}
				}
			}
		}
		for _, m := range c.VolumeMounts {
			if m.Name == "lanyard-values-files" && c.Name != "lanyard-sidecar" || m.Name == "lanyard-env" && c.Name != "lanyard-init" {
				t.Errorf("%s mounts %s", c.Name, m.Name)
			}
		}
	}
	if asked["app"] != "lanyard-init" || asked["files"] != "lanyard-sidecar" {
		t.Errorf("asked for by %v", asked)
	}
}
