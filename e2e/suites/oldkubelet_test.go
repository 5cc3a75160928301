// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A kubelet that does not know fileKeyRef, or has it turned off, starts containers with empty ENVs and says nothing. The version tells only of the first; the
// in-band proof (agent.verify) of both.
func TestOldKubelet(t *testing.T) {
	w := newWorld(t)
	w.put("key", "value")
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	w.create(w.pod("before", consumer))
	w.running("before")

	w.must(lanyard.Cluster.RestartKubelet(w.ctx, map[string]bool{"EnvFiles": false}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := lanyard.Cluster.RestartKubelet(ctx, nil); err != nil {
			t.Errorf("restoring the kubelet: %v", err)
		}
	})
	pod := w.pod("old", consumer)
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	w.create(pod)
	failed := w.await("old", "failed", func(p *corev1.Pod) bool {
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Running != nil || s.State.Terminated != nil && s.State.Terminated.Reason != "" && !s.State.Terminated.StartedAt.IsZero() {
				t.Fatal("the container started with empty ENVs")
			}
		}
		return p.Status.Phase == corev1.PodFailed
	})
	said := false
	for _, s := range failed.Status.InitContainerStatuses {
		said = said || s.Name == "lanyard-verify" && s.State.Terminated != nil && s.State.Terminated.ExitCode != 0 && s.State.Terminated.Message != ""
	}
	if !said {
		t.Errorf("no init container says why: %+v", failed.Status.InitContainerStatuses)
	}

	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	w.must(lanyard.Cluster.RestartKubelet(ctx, nil))
	w.create(w.pod("new", consumer))
	w.running("new")
	w.expectEnv("new", "app", map[string]string{"KEY": "value"})
}
