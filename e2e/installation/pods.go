// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// Namespace creates a namespace, unless it exists, with the given service accounts.
func (i *Installation) Namespace(ctx context.Context, name string, serviceAccounts ...string) error {
	core := i.Client.CoreV1()
	_, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating namespace %s: %w", name, err)
	}
	for _, account := range append([]string{"default"}, serviceAccounts...) {
		_, err := core.ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating service account %s/%s: %w", name, account, err)
		}
	}
	return nil
}

// Pod returns a pod of one container, "app", that runs the test image without a command. With a consumer it opts in.
func (i *Installation) Pod(namespace, name, serviceAccount, consumer string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			ServiceAccountName:            serviceAccount,
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers:                    []corev1.Container{{Name: "app", Image: i.ProbeImage(), ImagePullPolicy: corev1.PullIfNotPresent}},
		},
	}
	if consumer != "" {
		pod.Labels = map[string]string{"lanyard.dev/inject": "true"}
		pod.Annotations = map[string]string{"lanyard.dev/consumer": consumer}
	}
	return pod
}

// Create creates the pod.
func (i *Installation) Create(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	return i.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
}

// Await returns the pod as soon as condition holds. When ctx ends first, the error tells the pod's status.
func (i *Installation) Await(ctx context.Context, namespace, name, what string, condition func(*corev1.Pod) bool) (*corev1.Pod, error) {
	pods := i.Client.CoreV1().Pods(namespace)
	var last *corev1.Pod
	for {
		watcher, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
		if err != nil && pause(ctx) {
			continue
		}
		if err == nil {
			for event := range watcher.ResultChan() {
				pod, ok := event.Object.(*corev1.Pod)
				if !ok || event.Type == watch.Deleted {
					continue
				}
				if last = pod; condition(pod) {
					watcher.Stop()
					return pod, nil
				}
			}
		}
		if ctx.Err() != nil {
			return last, fmt.Errorf("waiting for pod %s/%s to be %s: %w; %s", namespace, name, what, ctx.Err(), Status(last))
		}
	}
}

// pause waits a moment before the API server, which may be restarting, is asked again. It reports whether there is time left to ask.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(200 * time.Millisecond):
		return true
	}
}

// Running waits until the pod's containers run.
func (i *Installation) Running(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return i.Await(ctx, namespace, name, "running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
}

// Delete deletes the pod and waits until it is gone.
func (i *Installation) Delete(ctx context.Context, namespace, name string) error {
	pods := i.Client.CoreV1().Pods(namespace)
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("deleting pod %s/%s: %w", namespace, name, err)
	}
	for {
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if !pause(ctx) {
			return fmt.Errorf("waiting for pod %s/%s to be gone: %w", namespace, name, ctx.Err())
		}
	}
}

// Env returns the environment the container of the test image printed when it started last: name → bytes.
func (i *Installation) Env(ctx context.Context, namespace, name, container string) (map[string][]byte, error) {
	out, err := i.Log(ctx, namespace, name, container)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var env map[string][]byte
		if json.Unmarshal(lines.Bytes(), &env) == nil {
			return env, nil
		}
	}
	return nil, fmt.Errorf("container %s of pod %s/%s printed no environment", container, namespace, name)
}

// Log returns what a container has printed.
func (i *Installation) Log(ctx context.Context, namespace, name, container string) ([]byte, error) {
	stream, err := i.Client.CoreV1().Pods(namespace).GetLogs(name, &corev1.PodLogOptions{Container: container}).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the log of pod %s/%s: %w", namespace, name, err)
	}
	defer stream.Close()
	out, err := io.ReadAll(io.LimitReader(stream, 16<<20))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the log of pod %s/%s", namespace, name), err)
	}
	return out, nil
}

// InitTermination is the last termination of the pod's init agent, or nil while there is none.
func InitTermination(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	return Termination(pod, "lanyard-init")
}

// Termination is the last termination of a container of the pod, injected ones included, or nil while there is none.
func Termination(pod *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Name != container {
			continue
		}
		if status.State.Terminated != nil {
			return status.State.Terminated
		}
		return status.LastTerminationState.Terminated
	}
	return nil
}

// Status tells where a pod stands, for messages.
func Status(pod *corev1.Pod) string {
	if pod == nil {
		return "it was never seen"
	}
	text := fmt.Sprintf("phase %s %s", pod.Status.Phase, pod.Status.Message)
	for _, s := range append(append([]corev1.ContainerStatus(nil), pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		switch {
		case s.State.Waiting != nil:
			text += fmt.Sprintf("; %s waits: %s %s", s.Name, s.State.Waiting.Reason, s.State.Waiting.Message)
		case s.State.Terminated != nil:
			text += fmt.Sprintf("; %s ended with %d: %s", s.Name, s.State.Terminated.ExitCode, s.State.Terminated.Message)
		}
		if last := s.LastTerminationState.Terminated; last != nil {
			text += fmt.Sprintf("; %s ended before with %d: %s", s.Name, last.ExitCode, last.Message)
		}
	}
	return text
}
