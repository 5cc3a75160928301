// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

func TestOutage(t *testing.T) {
	t.Run("registry down: the pod waits, and starts by itself when it is back", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "patient")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("before", consumer)) // the injector knows the consumer
		w.running("before")

		w.scale("statefulset", installation.Release+"-registry", 0)
		defer w.scale("statefulset", installation.Release+"-registry", 1)
		w.create(w.pod("app", consumer))
		w.must(until(w.ctx, patience, func() error { // it says what it waits for
			log, err := lanyard.Log(w.ctx, w.namespace, "app", "lanyard-init")
			if err == nil && !bytes.Contains(log, []byte(`"level":"WARN"`)) && !bytes.Contains(log, []byte(`"err"`)) {
				err = errors.New("the init agent has not logged an attempt yet")
			}
			return err
		}))
		pod, err := lanyard.Client.CoreV1().Pods(w.namespace).Get(w.ctx, "app", metav1.GetOptions{})
		w.must(err)
		if pod.Status.Phase != corev1.PodPending {
			t.Fatalf("the pod is %s without its secrets", pod.Status.Phase)
		}
		w.expectEnv("before", "app", map[string]string{"KEY": "patient"})
		w.scale("statefulset", installation.Release+"-registry", 1)
		w.running("app")
		w.expectEnv("app", "app", map[string]string{"KEY": "patient"})
	})

	t.Run("injector down: opted-in pods are refused, others are not delayed", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.scale("deployment", installation.Release+"-injector", 0)
		defer w.scale("deployment", installation.Release+"-injector", 2)
		if _, err := lanyard.Create(w.ctx, w.pod("opted-in", consumer)); err == nil || !strings.Contains(err.Error(), "lanyard") {
			t.Errorf("creating an opted-in pod: %v, want a refusal by the webhook", err)
		}
		began := time.Now()
		w.create(lanyard.Pod(w.namespace, "other", account, ""))
		if took := time.Since(began); took > 5*time.Second { // the webhook's own time-out
			t.Errorf("creating a pod that did not opt in took %v", took)
		}
		w.running("other")
		w.scale("deployment", installation.Release+"-injector", 2)
		w.create(w.pod("opted-in", consumer))
		w.running("opted-in")
	})

	for name, breakIt := range map[string]func(*admissionv1.MutatingWebhookConfiguration){
		"set to Ignore and unreachable": func(c *admissionv1.MutatingWebhookConfiguration) {
			for i := range c.Webhooks {
				ignore := admissionv1.Ignore
				c.Webhooks[i].FailurePolicy = &ignore
				c.Webhooks[i].ClientConfig.CABundle = nil
				c.Webhooks[i].ClientConfig.Service.Name = "nowhere"
			}
		},
		"mis-scoped": func(c *admissionv1.MutatingWebhookConfiguration) {
			for i := range c.Webhooks {
				c.Webhooks[i].ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"no-such": "label"}}
			}
		},
		"deleted": nil,
	} {
		t.Run("webhook configuration "+name+": the guard refuses", func(t *testing.T) {
			w := newWorld(t)
			w.put("key", "value")
			consumer := w.consumer("app", map[string]string{"KEY": "key"})
			configurations := lanyard.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
			original, err := configurations.Get(w.ctx, installation.Release+"-injector", metav1.GetOptions{})
			w.must(err)
			t.Cleanup(func() { restore(t, original) })
			if breakIt == nil {
				w.must(configurations.Delete(w.ctx, original.Name, metav1.DeleteOptions{}))
			} else {
				broken := original.DeepCopy()
				breakIt(broken)
				_, err = configurations.Update(w.ctx, broken, metav1.UpdateOptions{})
				w.must(err)
			}
			w.must(eventually(w.ctx, func() error { // the API server follows its configuration with a delay
				_, err := lanyard.Create(w.ctx, w.pod("guarded", consumer))
				if err == nil {
					t.Fatal("an opted-in pod was admitted without its secrets")
				}
				if !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
					return err
				}
				return nil
			}))
			w.create(lanyard.Pod(w.namespace, "other", account, ""))
		})
	}

	t.Run("node restarted: its pods get their secrets anew, the rotated ones too", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "first")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("app", consumer))
		w.running("app")
		w.put("key", "second")
		w.must(lanyard.Cluster.RestartNode(w.ctx)) // the registry and the injectors were on it, too
		w.await("app", "running again", func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount > 0 && p.Status.ContainerStatuses[0].State.Running != nil
		})
		w.expectEnv("app", "app", map[string]string{"KEY": "second"})
		w.create(w.pod("next", consumer))
		w.running("next")
		w.expectEnv("next", "app", map[string]string{"KEY": "second"})
	})

	t.Run("API server killed: the registry answers again by itself", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("before", consumer))
		w.running("before")
		w.must(lanyard.Cluster.StopAPIServer(w.ctx))
		w.must(lanyard.Cluster.StartAPIServer(w.ctx))
		w.must(until(w.ctx, patience, func() error {
			_, err := lanyard.Create(w.ctx, w.pod("after", consumer))
			return err
		}))
		w.running("after")
		w.expectEnv("after", "app", map[string]string{"KEY": "value"})
	})
}

// restore puts a webhook configuration back as it was, whatever became of it.
func restore(t *testing.T, original *admissionv1.MutatingWebhookConfiguration) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	configurations := lanyard.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	err := eventually(ctx, func() error {
		current, err := configurations.Get(ctx, original.Name, metav1.GetOptions{})
		if err != nil {
			fresh := original.DeepCopy()
			fresh.ResourceVersion, fresh.UID = "", ""
			_, err = configurations.Create(ctx, fresh, metav1.CreateOptions{})
			return err
		}
		current.Webhooks = original.Webhooks
		_, err = configurations.Update(ctx, current, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Errorf("restoring the webhook configuration: %v", err)
	}
}

// scale sets the replicas of a workload in the release namespace and waits until as many are ready.
func (w *world) scale(kind, name string, replicas int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), patience)
	defer cancel()
	patch := []byte(`{"spec":{"replicas":` + string(rune('0'+replicas)) + `}}`)
	apps := lanyard.Client.AppsV1()
	var err error
	if kind == "deployment" {
		_, err = apps.Deployments(installation.Namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	} else {
		_, err = apps.StatefulSets(installation.Namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		w.t.Errorf("scaling %s: %v", name, err)
		return
	}
	component := strings.TrimPrefix(name, installation.Release+"-")
	if err := until(ctx, patience, func() error {
		pods, err := lanyard.Client.CoreV1().Pods(installation.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
		if err != nil {
			return err
		}
		ready := 0
		for _, pod := range pods.Items {
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
					ready++
				}
			}
		}
		if ready != replicas || len(pods.Items) != replicas {
			return errors.New("not all replicas are as they should be")
		}
		return nil
	}); err != nil {
		w.t.Errorf("scaling %s to %d: %v", name, replicas, err)
	}
}
