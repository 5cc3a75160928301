// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestUserNamespace injects pods whose users are not the node's, and runs them.
func TestUserNamespace(t *testing.T) {
	w := newWorld(t)
	w.put("key", "value")
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	node, err := lanyard.Client.CoreV1().Nodes().Get(w.ctx, lanyard.Cluster.NodeName(), metav1.GetOptions{})
	w.must(err)
	if !slices.ContainsFunc(node.Status.RuntimeHandlers, func(h corev1.NodeRuntimeHandler) bool {
		return h.Features != nil && h.Features.UserNamespaces != nil && *h.Features.UserNamespaces
	}) {
		t.Fatalf("the node cannot run pods in user namespaces: %+v", node.Status.RuntimeHandlers)
	}
	deliveries := []string{"envfile", "exec", "direct", "file"}
	for _, delivery := range deliveries {
		pod := w.pod(delivery, consumer)
		pod.Annotations["lanyard.dev/delivery"] = delivery
		pod.Spec.HostUsers = new(false)
		pod.Spec.Containers[0].Command = []string{"/probe"}
		if delivery == "file" {
			pod.Spec.Containers[0].Command = []string{"/probe", "files", filesDir}
		}
		w.create(pod)
	}
	for _, delivery := range deliveries {
		w.running(delivery)
		w.expectEnv(delivery, "app", map[string]string{"KEY": "value"})
	}
}
