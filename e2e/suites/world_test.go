// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// patience is how long a pod may take on a loaded machine to do what it should.
const patience = 3 * time.Minute

// world is an organization and a namespace of one test's own.
type world struct {
	t         *testing.T
	ctx       context.Context
	org       string
	namespace string
}

const account = "workload"

func newWorld(t *testing.T) *world {
	t.Helper()
	name := "t-" + strings.ToLower(rand.Text()[:10])
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, org: name, namespace: name}
	w.must(eventually(ctx, func() error { // after a suite that replaced the registry's pods, their Service may lead to one that is gone for a moment
		err := lanyard.API.Call(ctx, "POST", "/api/v1/organizations", map[string]any{"slug": name}, nil)
		if problem := (*installation.StatusError)(nil); errors.As(err, &problem) && problem.Status == 409 {
			return nil // an earlier attempt made it, though its answer was lost
		}
		return err
	}))
	w.must(lanyard.Namespace(ctx, name, account))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			out, _ := lanyard.Cluster.Kubectl(ctx, "describe", "pods", "-n", name).CombinedOutput()
			t.Logf("pods of %s:\n%s", name, out)
		}
		grace := int64(0)
		_ = lanyard.Client.CoreV1().Pods(name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &grace}, metav1.ListOptions{})
		_ = lanyard.Client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	})
	return w
}

// in is the world for a subtest, with time of its own.
func (w *world) in(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	other := *w
	other.t, other.ctx = t, ctx
	return &other
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// put makes a secret, or gives it a new value.
func (w *world) put(name, value string) {
	w.t.Helper()
	path := "/api/v1/organizations/" + w.org + "/secrets"
	err := lanyard.API.Call(w.ctx, "POST", path, map[string]any{"name": name, "value": value}, nil)
	if problem := (*installation.StatusError)(nil); errors.As(err, &problem) && problem.Status == 409 {
		err = lanyard.API.Call(w.ctx, "PATCH", path+"/"+name, map[string]any{"value": value}, nil)
	}
	w.must(err)
}

// consumer makes one whose ENVs are secrets (name → secret), claimable by the world's service account.
func (w *world) consumer(name string, envs map[string]string) string {
	w.t.Helper()
	list := []map[string]any{}
	for env, secret := range envs {
		list = append(list, map[string]any{"name": env, "secret": secret})
	}
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/consumers", map[string]any{
		"name": name, "envs": list,
		"bindings": []map[string]any{{"namespace": w.namespace, "service_account": account}},
	}, nil))
	return w.org + "/" + name
}

func (w *world) pod(name, consumer string) *corev1.Pod {
	return lanyard.Pod(w.namespace, name, account, consumer)
}

// create creates the pod; an injector that has not heard of the consumer yet is asked again.
func (w *world) create(pod *corev1.Pod) {
	w.t.Helper()
	w.must(eventually(w.ctx, func() error {
		_, err := lanyard.Create(w.ctx, pod)
		return err
	}))
}

func (w *world) running(name string) *corev1.Pod {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	pod, err := lanyard.Running(ctx, w.namespace, name)
	w.must(err)
	return pod
}

func (w *world) await(name, what string, condition func(*corev1.Pod) bool) *corev1.Pod {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	pod, err := lanyard.Await(ctx, w.namespace, name, what, condition)
	w.must(err)
	return pod
}

func (w *world) expectEnv(pod, container string, want map[string]string) {
	w.t.Helper()
	var env map[string][]byte
	w.must(eventually(w.ctx, func() (err error) {
		env, err = lanyard.Env(w.ctx, w.namespace, pod, container)
		return err
	}))
	for name, value := range want {
		if got, ok := env[name]; !ok || string(got) != value {
			w.t.Errorf("container %s of pod %s: ENV %s is not what was put (present: %v)", container, pod, name, ok)
		}
	}
}

// expectNoAgentEnv checks that the container's command has none of the ENVs that the agent is told things by.
func (w *world) expectNoAgentEnv(pod, container string) {
	w.t.Helper()
	env, err := lanyard.Env(w.ctx, w.namespace, pod, container)
	w.must(err)
	for name := range env {
		if strings.HasPrefix(name, "LANYARD_") {
			w.t.Errorf("container %s of pod %s has ENV %s of the agent", container, pod, name)
		}
	}
}

func (w *world) delete(pod string) {
	w.t.Helper()
	w.must(lanyard.Delete(w.ctx, w.namespace, pod))
}

// eventually calls f until it succeeds, for at most half a minute: what is asked for travels through a watch.
func eventually(ctx context.Context, f func() error) error { return until(ctx, 30*time.Second, f) }

// until calls f until it succeeds, and returns its last error when that takes longer than limit.
func until(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(250 * time.Millisecond):
		}
	}
}
