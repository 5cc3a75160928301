// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhyNot(t *testing.T) {
	t.Run("a pod that is refused is told of on its ReplicaSet", func(t *testing.T) {
		w := newWorld(t)
		w.replicaSet("refused", w.org+"/nobody")
		e := w.event("ReplicaSet", "refused", "NotBound")
		if e.ReportingController != "lanyard.dev/injector" || !strings.Contains(e.Note, w.org+"/nobody") || !strings.Contains(e.Note, "[not_bound]") {
			t.Errorf("event %+v", e)
		}
		if code := w.why("nobody"); code != "not_bound" {
			t.Errorf("explain says %q", code)
		}
	})

	t.Run("a start that fails is told of on the pod and its ReplicaSet", func(t *testing.T) {
		const value = "e2e-canary-value"
		w := newWorld(t)
		w.put("key", value)
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("first", consumer)) // the injector knows the consumer from here on
		w.replicaSet("failing", consumer)
		var name string
		w.must(eventually(w.ctx, func() error {
			pods, err := lanyard.Client.CoreV1().Pods(w.namespace).List(w.ctx, metav1.ListOptions{LabelSelector: "app=failing"})
			if err == nil && len(pods.Items) == 0 {
				err = fmt.Errorf("no pod of the ReplicaSet")
			}
			if err == nil {
				name = pods.Items[0].Name
			}
			return err
		}))
		w.must(lanyard.API.Call(w.ctx, "DELETE", "/api/v1/organizations/"+w.org+"/secrets/key?force=true", nil, nil))
		w.release(name)
		for kind, object := range map[string]string{"Pod": name, "ReplicaSet": "failing"} {
			e := w.event(kind, object, "Unresolved")
			if e.ReportingController != "lanyard.dev/registry" || !strings.Contains(e.Note, "KEY of container app") || !strings.Contains(e.Note, "secret_missing") || strings.Contains(e.Note, value) {
				t.Errorf("event of %s %s: %+v", kind, object, e)
			}
		}
		if code := w.why("app"); code != "unresolved" {
			t.Errorf("explain says %q", code)
		}
	})
}

// replicaSet makes one of a single pod, which is not scheduled before it is released.
func (w *world) replicaSet(name, consumer string) {
	w.t.Helper()
	pod := w.pod(name, consumer)
	pod.Labels["app"] = name
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
	_, err := lanyard.Client.AppsV1().ReplicaSets(w.namespace).Create(w.ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec: appsv1.ReplicaSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec},
		},
	}, metav1.CreateOptions{})
	w.must(err)
}

// event waits for an Event of an object.
func (w *world) event(kind, name, reason string) (found eventsv1.Event) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		list, err := lanyard.Client.EventsV1().Events(w.namespace).List(w.ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Kind == kind && e.Regarding.Name == name && e.Reason == reason {
				found = e
				return nil
			}
		}
		return fmt.Errorf("no event %s of %s %s", reason, kind, name)
	}))
	return found
}

// why is the reason that the registry gives for a consumer, asked about it for the world's service account.
func (w *world) why(consumer string) string {
	w.t.Helper()
	var e struct {
		Code string `json:"code"`
	}
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/explain", map[string]any{
		"namespace": w.namespace, "service_account": account, "containers": []map[string]any{{"name": "app", "consumer": w.org + "/" + consumer}},
	}, &e))
	return e.Code
}
