// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
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
			testMutator(t).Plan(pod, "shop", testNames) // as it is, even if no API server would send it
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
		plan := planJSON(t, testMutator(t), before)
		if plan.Decision == Injected {
			checkSettled(t, apply(t, before, plan))
		}
	})
}
