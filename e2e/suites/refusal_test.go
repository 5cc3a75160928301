// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

func TestRefusal(t *testing.T) {
	t.Run("at admission, with a message that names the thing and the fix", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		w.put("quoted", "it's")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("first", consumer)) // the injector knows the consumer from here on
		quoted := w.consumer("quoted", map[string]string{"QUOTED": "quoted"})

		for name, tc := range map[string]struct {
			change func(*corev1.Pod)
			want   []string
		}{
			"an unknown consumer": {
				func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer"] = w.org + "/nobody" },
				[]string{w.org + "/nobody"},
			},
			"a service account without a binding": {
				func(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" },
				[]string{consumer, w.namespace, "default"},
			},
			"no consumer at all": {
				func(p *corev1.Pod) { p.Annotations = nil },
				[]string{"lanyard.dev/consumer"},
			},
			"a misspelled annotation": {
				func(p *corev1.Pod) { p.Annotations["lanyard.dev/container"] = "app" },
				[]string{"lanyard.dev/container"},
			},
			"a container that is not there": {
				func(p *corev1.Pod) { p.Annotations["lanyard.dev/containers"] = "sidecar" },
				[]string{"sidecar"},
			},
			"an ENV that the container sets itself": {
				func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "KEY", Value: "mine"}} },
				[]string{"KEY", "app"},
			},
			"a value the delivery cannot carry": {
				func(p *corev1.Pod) { p.Annotations["lanyard.dev/consumer"] = quoted },
				[]string{"QUOTED", "single quote"},
			},
		} {
			t.Run(name, func(t *testing.T) {
				pod := w.pod("refused", consumer)
				tc.change(pod)
				var message string
				w.must(eventually(w.ctx, func() error { // until the injector has heard of the consumers above
					_, err := lanyard.Create(w.ctx, pod)
					if err == nil {
						t.Fatal("the pod was admitted")
					}
					for _, want := range tc.want {
						if !strings.Contains(err.Error(), want) {
							return err
						}
					}
					message = err.Error()
					return nil
				}))
				if strings.Contains(message, "it's") {
					t.Error("the message contains the value")
				}
			})
		}
	})

	t.Run("at start, when the binding has gone since admission", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		pod := w.pod("gated", consumer)
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(pod)
		w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/consumers/app", map[string]any{"bindings": []any{}}, nil))
		w.release("gated")
		failed := w.await("gated", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		end := installation.InitTermination(failed)
		if end == nil || end.ExitCode != 11 || !strings.Contains(end.Message, consumer) || !strings.Contains(end.Message, "not_bound") {
			t.Errorf("the init agent ended with %+v, want exit code 11 and a message that names %s", end, consumer)
		}
		if s := failed.Status.ContainerStatuses; len(s) == 1 && s[0].State.Running != nil {
			t.Error("the container started")
		}
	})

	t.Run("at start, when the secret has gone since admission", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		pod := w.pod("gated", w.consumer("app", map[string]string{"KEY": "key"}))
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(pod)
		w.must(lanyard.API.Call(w.ctx, "DELETE", "/api/v1/organizations/"+w.org+"/secrets/key?force=true", nil, nil))
		w.release("gated")
		failed := w.await("gated", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		end := installation.InitTermination(failed)
		if end == nil || end.ExitCode != 15 || !strings.Contains(end.Message, "KEY") || !strings.Contains(end.Message, "secret_missing") {
			t.Errorf("the init agent ended with %+v, want exit code 15 and a message that names KEY", end)
		}
	})
}

// release lets a gated pod be scheduled.
func (w *world) release(name string) {
	w.t.Helper()
	pods := lanyard.Client.CoreV1().Pods(w.namespace)
	pod, err := pods.Get(w.ctx, name, metav1.GetOptions{})
	w.must(err)
	pod.Spec.SchedulingGates = nil
	_, err = pods.Update(w.ctx, pod, metav1.UpdateOptions{})
	w.must(err)
}
