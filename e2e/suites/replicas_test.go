// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestReplicas moves the installation to two registries on an etcd of its own behind mutual TLS, and back. Each must at once answer for what the other has acknowledged.
func TestReplicas(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	values, err := lanyard.StartEtcd(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the embedded etcd still has what it had
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		if err := lanyard.Upgrade(ctx); err != nil {
			t.Errorf("leaving the installation as it was: %v", err)
			return
		}
		if err := until(ctx, patience, alone(ctx, installation.Release+"-registry-0")); err != nil {
			t.Errorf("leaving the installation as it was: %v", err)
		}
	})
	if err := lanyard.Upgrade(ctx, append(values, "registry.replicas=2")...); err != nil {
		t.Fatal(err)
	}

	gone := func() error { // the old registry still answers while it drains, from an etcd of its own
		_, err := lanyard.Client.CoreV1().Pods(installation.Namespace).Get(ctx, installation.Release+"-registry-0", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the registry with the embedded etcd is still there"), err)
	}
	if err := until(ctx, patience, gone); err != nil {
		t.Fatal(err)
	}

	t.Run("what one acknowledged the other answers for at once", func(t *testing.T) {
		w := newWorld(t)
		replicas := w.replicas(2)
		secrets := "/api/v1/organizations/" + w.org + "/secrets"
		for n := range 50 {
			writer, reader := replicas[n%2], replicas[(n+1)%2]
			name := fmt.Sprintf("key-%d", n)
			w.must(writer.Call(w.ctx, "POST", secrets, map[string]any{"name": name, "value": "first"}, nil))
			var read struct {
				ActiveVersion int `json:"active_version"`
			}
			w.must(reader.Call(w.ctx, "GET", secrets+"/"+name, nil, &read))
			w.must(reader.Call(w.ctx, "PATCH", secrets+"/"+name, map[string]any{"value": "second"}, nil))
			w.must(writer.Call(w.ctx, "GET", secrets+"/"+name, nil, &read))
			if read.ActiveVersion != 2 {
				t.Errorf("%s: a replica answers with version %d after the other acknowledged 2", name, read.ActiveVersion)
			}
			w.must(writer.Call(w.ctx, "DELETE", secrets+"/"+name, nil, nil))
			var shown struct {
				DeletedAt *time.Time `json:"deleted_at"`
			}
			w.must(reader.Call(w.ctx, "GET", secrets+"/"+name, nil, &shown))
			if shown.DeletedAt == nil {
				t.Errorf("%s: a replica shows what the other deleted", name)
			}
		}
	})

	t.Run("pods get values while a replica is killed and another takes its place", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("before", consumer))
		w.running("before")
		victim := w.components("registry")[0]
		w.must(lanyard.Client.CoreV1().Pods(installation.Namespace).Delete(w.ctx, victim.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
		for n := range 3 {
			w.create(w.pod(fmt.Sprintf("during-%d", n), consumer))
		}
		for n := range 3 {
			name := fmt.Sprintf("during-%d", n)
			w.running(name)
			w.expectEnv(name, "app", map[string]string{"KEY": "value"})
		}
		w.replicas(2) // it is whole again by itself
	})

	t.Run("nobody else can read that etcd", func(t *testing.T) {
		service, err := lanyard.Client.CoreV1().Services("lanyard-etcd").Get(ctx, "etcd", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		anybody := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it is the server that must refuse
		if response, err := anybody.Get("https://" + net.JoinHostPort(service.Spec.ClusterIP, "2379") + "/version"); err == nil {
			response.Body.Close()
			t.Errorf("etcd answered %s to a client without a certificate", response.Status)
		}
	})
}

// alone says whether the registry's only pod is the named one: a replica that still drains would answer the next test from another etcd.
func alone(ctx context.Context, name string) func() error {
	return func() error {
		pods, err := lanyard.Client.CoreV1().Pods(installation.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=registry"})
		if err != nil {
			return err
		}
		if len(pods.Items) != 1 || pods.Items[0].Name != name {
			return fmt.Errorf("the registry has %d pods, want %s alone", len(pods.Items), name)
		}
		return nil
	}
}

// components returns the ready pods of a component that are not ending.
func (w *world) components(component string) []corev1.Pod {
	w.t.Helper()
	pods, err := lanyard.Client.CoreV1().Pods(installation.Namespace).List(w.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	w.must(err)
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
}

// replicas waits until exactly n registries are ready, and returns the API of each.
func (w *world) replicas(n int) []*installation.API {
	w.t.Helper()
	var apis []*installation.API
	w.must(until(w.ctx, patience, func() error {
		apis = nil
		for _, pod := range w.components("registry") {
			apis = append(apis, lanyard.API.At(pod.Status.PodIP+":8443"))
		}
		if len(apis) != n {
			return fmt.Errorf("%d registries are ready, want %d", len(apis), n)
		}
		return nil
	}))
	return apis
}
