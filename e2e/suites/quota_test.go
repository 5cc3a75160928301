// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func quantities(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func (w *world) quota(hard corev1.ResourceList) {
	w.t.Helper()
	_, err := lanyard.Client.CoreV1().ResourceQuotas(w.namespace).Create(w.ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "quota"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
	}, metav1.CreateOptions{})
	w.must(err)
}

// TestQuota injects pods into namespaces whose operators bound what runs there.
func TestQuota(t *testing.T) {
	t.Run("under a LimitRange, injection takes nothing of what a ResourceQuota lets pods request", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		_, err := lanyard.Client.CoreV1().LimitRanges(w.namespace).Create(w.ctx, &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Name: "limits"},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type: corev1.LimitTypeContainer, Default: quantities("cpu", "200m", "memory", "64Mi"), DefaultRequest: quantities("cpu", "20m", "memory", "32Mi"),
				Min: quantities("cpu", "10m", "memory", "16Mi"), Max: quantities("cpu", "500m", "memory", "64Mi"),
			}}},
		}, metav1.CreateOptions{})
		w.must(err)
		// Five pods of one container, to the last byte. Of limits there is more: an init agent has more CPU than these containers, for a moment.
		w.quota(quantities("pods", "5", "requests.cpu", "100m", "requests.memory", "160Mi", "limits.cpu", "2500m", "limits.memory", "320Mi"))

		w.create(lanyard.Pod(w.namespace, "plain", account, ""))
		deliveries := []string{"envfile", "exec", "direct", "file"}
		for _, delivery := range deliveries {
			pod := w.pod(delivery, consumer)
			pod.Annotations["lanyard.dev/delivery"] = delivery
			pod.Spec.Containers[0].Command = []string{"/probe"}
			if delivery == "file" {
				pod.Spec.Containers[0].Command = []string{"/probe", "files", filesDir}
			}
			w.create(pod)
		}
		class := w.running("plain").Status.QOSClass
		for _, delivery := range deliveries {
			if got := w.running(delivery).Status.QOSClass; got != class {
				t.Errorf("the pod with delivery %s is %s, one that is not injected %s", delivery, got, class)
			}
			w.expectEnv(delivery, "app", map[string]string{"KEY": "value"})
		}
		if _, err := lanyard.Create(w.ctx, w.pod("sixth", consumer)); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
			t.Errorf("creating a sixth pod: %v, want the quota's refusal", err)
		}
	})

	t.Run("a quota that demands limits has them of the init agent, and a Guaranteed pod stays one", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.quota(quantities("requests.cpu", "1", "requests.memory", "1Gi", "limits.cpu", "2", "limits.memory", "1Gi"))
		for name, resources := range map[string]corev1.ResourceRequirements{
			"burstable":  {Requests: quantities("cpu", "20m", "memory", "32Mi"), Limits: quantities("cpu", "200m", "memory", "64Mi")},
			"guaranteed": {Requests: quantities("cpu", "100m", "memory", "64Mi"), Limits: quantities("cpu", "100m", "memory", "64Mi")},
		} {
			pod := w.pod(name, consumer)
			pod.Spec.Containers[0].Resources = resources
			w.create(pod)
		}
		for name, class := range map[string]corev1.PodQOSClass{"burstable": corev1.PodQOSBurstable, "guaranteed": corev1.PodQOSGuaranteed} {
			if got := w.running(name).Status.QOSClass; got != class {
				t.Errorf("the pod is %s, want %s", got, class)
			}
			w.expectEnv(name, "app", map[string]string{"KEY": "value"})
		}
	})
}
