// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestUserNamespace injects pods whose users are not the node's. Where the node's runtime cannot run such pods, it is seen that they are injected and valid.
func TestUserNamespace(t *testing.T) {
	w := newWorld(t)
	w.put("key", "value")
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	node, err := lanyard.Client.CoreV1().Nodes().Get(w.ctx, lanyard.Cluster.NodeName(), metav1.GetOptions{})
	w.must(err)
	able := slices.ContainsFunc(node.Status.RuntimeHandlers, func(h corev1.NodeRuntimeHandler) bool {
		return h.Features != nil && h.Features.UserNamespaces != nil && *h.Features.UserNamespaces
	})
	t.Logf("the node can run pods in user namespaces: %v", able)
	deliveries := []string{"envfile", "exec", "direct", "file"}
	for _, delivery := range deliveries {
		pod := w.pod(delivery, consumer)
		pod.Annotations["lanyard.dev/delivery"] = delivery
		pod.Spec.HostUsers = new(false)
		pod.Spec.Containers[0].Command = []string{"/probe"}
		if delivery == "file" {
			pod.Spec.Containers[0].Command = []string{"/probe", "files", filesDir}
		}
		var made *corev1.Pod
		w.must(eventually(w.ctx, func() error {
			made, err = w.dryRun(lanyard.Client, pod)
			return err
		}))
		if made.Spec.HostUsers == nil || *made.Spec.HostUsers || delivery != "direct" && !injected(made) {
			t.Errorf("the pod with delivery %s was not made as it should be: host users %v, init containers %v", delivery, made.Spec.HostUsers, made.Spec.InitContainers)
		}
		if able {
			w.create(pod)
		}
	}
	for _, delivery := range deliveries {
		if able {
			w.running(delivery)
			w.expectEnv(delivery, "app", map[string]string{"KEY": "value"})
		}
	}
}
