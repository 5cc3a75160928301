// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

const filesDir = "/run/lanyard/files"

// following is a pod whose only container prints its files whenever it is told that they are new.
func (w *world) following(name, consumer string, annotations map[string]string) *corev1.Pod {
	pod := w.pod(name, consumer)
	pod.Annotations["lanyard.dev/delivery"] = "file"
	pod.Annotations["lanyard.dev/refresh"] = "10s"
	for key, value := range annotations {
		pod.Annotations[key] = value
	}
	pod.Spec.Containers[0].Command = []string{"/probe", "follow", filesDir}
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	restrict(pod)
	return pod
}

// printed returns what the container has printed of a file, each time it was told.
func (w *world) printed(pod, file string) ([]string, error) {
	log, err := lanyard.Log(w.ctx, w.namespace, pod, "app")
	if err != nil {
		return nil, err
	}
	var values []string
	for line := range bytes.Lines(log) {
		var files map[string][]byte
		if json.Unmarshal(line, &files) == nil {
			values = append(values, string(files[file]))
		}
	}
	return values, nil
}

// awaitPrinted waits until the container has printed exactly these.
func (w *world) awaitPrinted(pod, file string, want ...string) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		got, err := w.printed(pod, file)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("the container printed %d values, not the %d expected", len(got), len(want))
		}
		return err
	}))
}

// shown returns what a file holds now.
func (w *world) shown(pod, file string) string {
	w.t.Helper()
	out, err := lanyard.Cluster.Kubectl(w.ctx, "exec", "-n", w.namespace, pod, "-c", "app", "--", "/probe", "show", filesDir).Output()
	w.must(err)
	var files map[string][]byte
	w.must(json.Unmarshal(out, &files))
	return string(files[file])
}

// sidecarLogs waits until the sidecar has logged all of these.
func (w *world) sidecarLogs(pod string, want ...string) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		log, err := lanyard.Log(w.ctx, w.namespace, pod, "lanyard-sidecar")
		for _, text := range want {
			if err == nil && !bytes.Contains(log, []byte(text)) {
				err = errors.New("the sidecar has not logged " + text)
			}
		}
		return err
	}))
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func TestSidecar(t *testing.T) {
	t.Run("a new value is in the file when the container is called", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", odd["CRLF"])
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.following("app", consumer, map[string]string{"lanyard.dev/refresh-http": "http://127.0.0.1:8080/reload"}))
		pod := w.await("app", "ready", ready)
		if len(pod.Spec.InitContainers) != 1 || pod.Spec.InitContainers[0].Name != "lanyard-sidecar" {
			t.Errorf("the pod has %d init containers", len(pod.Spec.InitContainers))
		}
		w.awaitPrinted("app", "KEY", odd["CRLF"])
		w.put("key", "second")
		w.awaitPrinted("app", "KEY", odd["CRLF"], "second")
		w.put("key", odd["WIDE"])
		w.awaitPrinted("app", "KEY", odd["CRLF"], "second", odd["WIDE"])
		w.sidecarLogs("app", `"msg":"values refreshed"`, `"msg":"containers told of new files"`)
		pod = w.await("app", "ready", ready)
		for _, s := range append(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses...) {
			if s.RestartCount != 0 {
				t.Errorf("container %s was restarted", s.Name)
			}
		}
		w.delete("app")
	})

	t.Run("a signal reaches the container's process, in a process namespace they share", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "first")
		pod := w.following("app", w.consumer("app", map[string]string{"KEY": "key"}), map[string]string{"lanyard.dev/refresh-signal": "SIGHUP"})
		pod.Spec.ShareProcessNamespace = new(true)
		w.create(pod)
		w.await("app", "ready", ready)
		w.awaitPrinted("app", "KEY", "first")
		w.put("key", "second")
		w.awaitPrinted("app", "KEY", "first", "second")
		w.delete("app")
	})

	t.Run("the kubelet restarts the containers in place", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "first")
		w.create(w.following("app", w.consumer("app", map[string]string{"KEY": "key"}), map[string]string{"lanyard.dev/refresh-restart": "true"}))
		before := w.await("app", "ready", ready)
		w.awaitPrinted("app", "KEY", "first")
		started := before.Status.ContainerStatuses[0].ContainerID
		w.put("key", "second")
		after := w.await("app", "restarted", func(p *corev1.Pod) bool {
			return ready(p) && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].ContainerID != started
		})
		if after.UID != before.UID || after.Status.PodIP != before.Status.PodIP {
			t.Error("it is another pod, or has another address")
		}
		w.awaitPrinted("app", "KEY", "second")
		w.delete("app")
	})

	t.Run("a refusal leaves the files, and says why", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "first")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.following("app", consumer, map[string]string{"lanyard.dev/refresh-http": "http://127.0.0.1:8080/reload"}))
		w.await("app", "ready", ready)
		w.awaitPrinted("app", "KEY", "first")
		bindings := func(list ...any) {
			w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/consumers/app", map[string]any{"bindings": append([]any{}, list...)}, nil))
		}
		bindings()
		w.put("key", "second")
		w.sidecarLogs("app", `"msg":"refresh failed, the files stay as they are"`, `"reason":"denied"`, "not_bound")
		if got := w.shown("app", "KEY"); got != "first" {
			t.Error("the file is not what it was")
		}
		if pod, err := lanyard.Client.CoreV1().Pods(w.namespace).Get(w.ctx, "app", metav1.GetOptions{}); err != nil || !ready(pod) {
			t.Errorf("the pod is no longer ready: %v", err)
		}
		bindings(map[string]any{"namespace": w.namespace, "service_account": account})
		w.awaitPrinted("app", "KEY", "first", "second")
		w.delete("app")
	})

	t.Run("a Job ends with its own container", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		pod := w.following("job", w.consumer("app", map[string]string{"KEY": "key"}), nil)
		pod.Spec.Containers[0].Command = []string{"/probe", "show", filesDir}
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		job := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "job"},
			Spec: batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec,
			}},
		}
		_, err := lanyard.Client.BatchV1().Jobs(w.namespace).Create(w.ctx, job, metav1.CreateOptions{})
		w.must(err)
		w.must(until(w.ctx, patience, func() error {
			got, err := lanyard.Client.BatchV1().Jobs(w.namespace).Get(w.ctx, "job", metav1.GetOptions{})
			if err == nil && got.Status.Succeeded != 1 {
				err = fmt.Errorf("the job has %d pods that succeeded, %d that failed, %d that run", got.Status.Succeeded, got.Status.Failed, got.Status.Active)
			}
			return err
		}))
		pods, err := lanyard.Client.CoreV1().Pods(w.namespace).List(w.ctx, metav1.ListOptions{})
		w.must(err)
		for _, s := range pods.Items[0].Status.InitContainerStatuses {
			if end := s.State.Terminated; end == nil || end.ExitCode != 0 {
				t.Errorf("the sidecar ended with %+v", end)
			}
		}
		background := metav1.DeletePropagationBackground
		w.must(lanyard.Client.BatchV1().Jobs(w.namespace).Delete(w.ctx, "job", metav1.DeleteOptions{PropagationPolicy: &background}))
	})

	t.Run("a group reads what others may not", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		pod := w.following("app", w.consumer("app", map[string]string{"KEY": "key"}), map[string]string{"lanyard.dev/files-mode": "0440"})
		pod.Spec.SecurityContext.FSGroup = new(int64(3000))
		pod.Spec.Containers[0].SecurityContext.RunAsUser = new(int64(23456)) // not the sidecar's user
		w.create(pod)
		w.await("app", "ready", ready)
		w.awaitPrinted("app", "KEY", "value")
		w.delete("app")
	})

	t.Run("registry down: what runs goes on, what starts waits", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "first")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.following("before", consumer, nil))
		w.await("before", "ready", ready)
		w.scale("statefulset", installation.Release+"-registry", 0)
		defer w.scale("statefulset", installation.Release+"-registry", 1)
		w.sidecarLogs("before", `"msg":"refresh failed, the files stay as they are"`, `"reason":"unreachable"`)
		w.create(w.following("after", consumer, nil))
		w.await("after", "started", func(p *corev1.Pod) bool {
			return len(p.Status.InitContainerStatuses) == 1 && p.Status.InitContainerStatuses[0].State.Running != nil
		})
		w.sidecarLogs("after", `"msg":"resolve will be tried again"`)
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		if pod, err := lanyard.Client.CoreV1().Pods(w.namespace).Get(ctx, "after", metav1.GetOptions{}); err != nil || pod.Status.Phase != corev1.PodPending {
			t.Errorf("the pod is not waiting: %v", err)
		}
		if pod, err := lanyard.Client.CoreV1().Pods(w.namespace).Get(ctx, "before", metav1.GetOptions{}); err != nil || !ready(pod) {
			t.Errorf("the running pod is not ready: %v", err)
		}
		w.scale("statefulset", installation.Release+"-registry", 1)
		w.await("after", "ready", ready)
		w.put("key", "second")
		w.must(until(w.ctx, patience, func() error {
			if got := w.shown("before", "KEY"); got != "second" {
				return errors.New("the file has not followed")
			}
			return nil
		}))
		w.delete("before")
		w.delete("after")
	})

	t.Run("what could not work is refused with the fix", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("first", consumer)) // the injector knows the consumer
		pod := w.following("app", consumer, map[string]string{"lanyard.dev/refresh-signal": "SIGHUP"})
		if _, err := lanyard.Create(w.ctx, pod); err == nil || !strings.Contains(err.Error(), "refresh_unreachable") || !strings.Contains(err.Error(), "shareProcessNamespace: true") {
			t.Errorf("created: %v", err)
		}
		w.delete("first")
	})
}
