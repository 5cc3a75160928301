// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestGolden lets the API server judge every pod that the injector's golden files hold: what we make of a valid pod must be a valid pod.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../../injector/mutate/testdata/*.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	accepted := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		w.must(err)
		if !bytes.HasPrefix(text, []byte("# injected")) || strings.Contains(file, "fields-of-the-future") { // which no API server has yet
			continue
		}
		accepted++
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden.yaml"), func(t *testing.T) {
			var pod corev1.Pod
			if err := yaml.Unmarshal(text, &pod); err != nil {
				t.Fatal(err)
			}
			// The pod is judged as it is: not injected again, not guarded, and not bound to what this cluster does not have.
			delete(pod.Labels, "lanyard.dev/inject")
			pod.Namespace, pod.OwnerReferences, pod.ResourceVersion = w.namespace, nil, ""
			pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount = account, ""
			pod.Spec.PriorityClassName, pod.Spec.Priority = "", nil
			if pod.Name == "" && pod.GenerateName == "" {
				pod.GenerateName = "golden-"
			}
			made, err := lanyard.Client.CoreV1().Pods(w.namespace).Create(t.Context(), &pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: "Strict"})
			if err != nil {
				t.Fatal(err)
			}
			if before, after := references(&pod), references(made); before != after {
				t.Errorf("%d references to env files of %d survived", after, before)
			}
		})
	}
	if accepted < 10 {
		t.Errorf("only %d golden pods were judged", accepted)
	}
}

// references counts fileKeyRefs.
func references(pod *corev1.Pod) (n int) {
	for _, c := range append(append([]corev1.Container(nil), pod.Spec.InitContainers...), pod.Spec.Containers...) {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.FileKeyRef != nil {
				n++
			}
		}
	}
	return n
}
