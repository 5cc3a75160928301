// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// direct makes the pod's container one that fetches its values itself.
func direct(pod *corev1.Pod, command ...string) *corev1.Pod {
	pod.Annotations["lanyard.dev/delivery"] = "direct"
	pod.Spec.Containers[0].Command = command
	return pod
}

func volumesOf(pod *corev1.Pod) map[string]corev1.VolumeSource {
	volumes := map[string]corev1.VolumeSource{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	return volumes
}

func TestDeliveryDirect(t *testing.T) {
	t.Run("it carries what exec does, without an init container", func(t *testing.T) {
		w := newWorld(t)
		consumer, values := w.oddConsumer(nil)
		pod := direct(w.pod("app", consumer), "/probe")
		restrict(pod)
		w.create(pod)
		running := w.running("app")
		if len(running.Spec.InitContainers) > 0 || volumesOf(running)["lanyard-bin"].Image == nil {
			t.Errorf("init containers %v, volumes %v", running.Spec.InitContainers, running.Spec.Volumes)
		}
		w.expectEnv("app", "app", values)
		w.expectNoAgentEnv("app", "app")
		w.delete("app")
	})

	t.Run("beside other deliveries, each container its own", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", odd["QUOTE"])
		w.put("plain", "value")
		pod := direct(w.pod("mixed", w.consumer("app", map[string]string{"KEY": "key"})), "/probe", "print")
		pod.Annotations["lanyard.dev/containers"] = "*"
		pod.Annotations["lanyard.dev/consumer.plain"] = w.consumer("plain", map[string]string{"PLAIN": "plain"})
		pod.Annotations["lanyard.dev/delivery.wrapped"], pod.Annotations["lanyard.dev/delivery.plain"] = "exec", "envfile"
		wrapped := *pod.Spec.Containers[0].DeepCopy()
		plain := *wrapped.DeepCopy()
		wrapped.Name, plain.Name, plain.Command = "wrapped", "plain", nil
		pod.Spec.Containers = append(pod.Spec.Containers, wrapped, plain)
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(pod)
		w.expectEnv("mixed", "app", map[string]string{"KEY": odd["QUOTE"]})
		w.expectEnv("mixed", "wrapped", map[string]string{"KEY": odd["QUOTE"]})
		w.expectEnv("mixed", "plain", map[string]string{"PLAIN": "value"})
		w.delete("mixed")
	})

	t.Run("a restart fetches the value of that moment", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "before")
		w.create(direct(w.pod("again", w.consumer("app", map[string]string{"KEY": "key"})), "/probe", "print"))
		w.expectEnv("again", "app", map[string]string{"KEY": "before"})
		w.put("key", "after")
		w.must(until(w.ctx, patience, func() error {
			env, err := lanyard.Env(w.ctx, w.namespace, "again", "app")
			if err == nil && string(env["KEY"]) != "after" {
				err = errors.New("it still has the value of before")
			}
			return err
		}))
		w.delete("again")
	})

	t.Run("without its values it does not start and says why", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		pod := direct(w.pod("lost", w.consumer("app", map[string]string{"KEY": "key"})), "/probe")
		w.must(lanyard.API.Call(w.ctx, "DELETE", "/api/v1/organizations/"+w.org+"/secrets/key?force=true", nil, nil))
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(pod)
		failed := w.await("lost", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		end := failed.Status.ContainerStatuses[0].State.Terminated
		if end == nil || end.ExitCode != 15 || !strings.Contains(end.Message, "KEY of container app") {
			t.Errorf("the container ended with %+v, want exit code 15 and a message that names the ENV", end)
		}
		w.delete("lost")
	})

	t.Run("a forged one is refused", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		pod := direct(w.pod("forged", consumer), "/probe")
		other := *pod.Spec.Containers[0].DeepCopy()
		other.Name, other.Command = "other", []string{"/probe"}
		other.VolumeMounts = []corev1.VolumeMount{{Name: "lanyard-token", MountPath: "/run/lanyard/token", ReadOnly: true}}
		pod.Spec.Containers = append(pod.Spec.Containers, other)
		w.must(until(w.ctx, patience, func() error { // the consumer's names have to arrive first
			_, err := lanyard.Client.CoreV1().Pods(w.namespace).Create(w.ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			switch {
			case err == nil:
				t.Fatal("another container may mount the token")
			case !strings.Contains(err.Error(), "volume_misused"):
				return err
			}
			return nil
		}))
	})
}

// TestDeliveryTimes prints how long it takes from asking for a pod until its program runs, with each delivery, next to one that is not injected. Nothing is asserted: the
// machine decides, and the cluster is compiled without inlining, which doubles what direct costs (48 ms and 98 ms on one machine).
func TestDeliveryTimes(t *testing.T) {
	w := newWorld(t)
	w.put("key", "value")
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	w.create(w.pod("first", consumer)) // the injector has to hear of the consumer
	took := map[string][]time.Duration{}
	for round := range 9 {
		deliveries := []string{"", "direct"} // whose difference is small
		if round < 3 {
			deliveries = append(deliveries, "exec", "envfile")
		}
		for _, delivery := range deliveries {
			pod := lanyard.Pod(w.namespace, "timed-"+delivery, account, "")
			if delivery == "" {
				pod.Name = "timed"
			} else {
				pod = direct(w.pod("timed-"+delivery, consumer))
				pod.Annotations["lanyard.dev/delivery"] = delivery
			}
			pod.Spec.Containers[0].Command = []string{"/probe"}
			began := time.Now()
			w.create(pod)
			w.running(pod.Name)
			took[delivery] = append(took[delivery], w.spoke(pod.Name).Sub(began).Round(time.Millisecond))
			w.delete(pod.Name)
		}
	}
	for _, delivery := range slices.Sorted(maps.Keys(took)) {
		slices.Sort(took[delivery])
		t.Logf("%-8q median %v of %v", delivery, took[delivery][len(took[delivery])/2], took[delivery])
	}
}

// spoke returns when the container app wrote its first line: by the runtime's clock, as the pod's own times are whole seconds.
func (w *world) spoke(pod string) (at time.Time) {
	w.t.Helper()
	w.must(eventually(w.ctx, func() error {
		line, err := lanyard.Client.CoreV1().Pods(w.namespace).GetLogs(pod, &corev1.PodLogOptions{Container: "app", Timestamps: true, LimitBytes: new(int64(64))}).DoRaw(w.ctx)
		if err != nil {
			return err
		}
		stamp, _, _ := strings.Cut(string(line), " ")
		at, err = time.Parse(time.RFC3339Nano, stamp)
		return err
	}))
	return at
}
