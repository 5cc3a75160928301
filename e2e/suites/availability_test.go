// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestAvailability creates pods all the time while the injectors are restarted, killed, upgraded and given new certificates. No opted-in pod may get by without its
// secrets, and with two replicas none needs to be refused when the restart is an orderly one. The pods are created as a dry run, which goes the whole way through admission.
func TestAvailability(t *testing.T) {
	const deployment = installation.Release + "-injector"
	for _, tc := range []struct {
		name string
		// orderly says that no request may be refused: nothing was taken away that was still needed.
		orderly bool
		disturb func(w *world)
	}{
		{"a rollout", true, func(w *world) {
			patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"e2e/restarted":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
			_, err := lanyard.Client.AppsV1().Deployments(installation.Namespace).Patch(w.ctx, deployment, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
			w.must(err)
			w.rolledOut(deployment)
		}},
		{"one replica deleted in good order", true, func(w *world) {
			victim := w.components("injector")[0]
			w.must(lanyard.Client.CoreV1().Pods(installation.Namespace).Delete(w.ctx, victim.Name, metav1.DeleteOptions{}))
			w.replaced("injector", victim)
		}},
		{"one replica killed", false, func(w *world) {
			victim := w.components("injector")[0]
			w.must(lanyard.Client.CoreV1().Pods(installation.Namespace).Delete(w.ctx, victim.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
			w.replaced("injector", victim)
		}},
		{"the certificate authority emptied", false, func(w *world) {
			secrets := lanyard.Client.CoreV1().Secrets(installation.Namespace)
			const name = installation.Release + "-injector-cert"
			secret, err := secrets.Get(w.ctx, name, metav1.GetOptions{})
			w.must(err)
			before := secret.Data
			secret.Data = nil
			_, err = secrets.Update(w.ctx, secret, metav1.UpdateOptions{})
			w.must(err)
			w.must(until(w.ctx, patience, func() error {
				after, err := secrets.Get(w.ctx, name, metav1.GetOptions{})
				if err == nil && (len(after.Data) == 0 || maps.EqualFunc(after.Data, before, bytes.Equal)) {
					err = errors.New("there is no new authority yet")
				}
				return err
			}))
			// Every replica has a leaf of the new authority when pods are injected again and again.
			for in := 0; in < 20; {
				pod, err := w.dryRun(lanyard.Client, w.pod("probe", w.org+"/app"))
				switch {
				case err == nil && injected(pod):
					in++
				case w.ctx.Err() != nil:
					w.t.Fatalf("pods are not injected again: %v", err)
				default:
					in = 0
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("key", "value")
			consumer := w.consumer("app", map[string]string{"KEY": "key"})
			w.must(eventually(w.ctx, func() error { // every injector has heard of it
				for range 10 {
					if _, err := w.dryRun(lanyard.Client, w.pod("first", consumer)); err != nil {
						return err
					}
				}
				return nil
			}))
			s := w.stream(consumer)
			tc.disturb(w)
			s.stop()
			t.Log(s)
			if s.injected == 0 || s.others == 0 {
				t.Fatal("the stream created nothing")
			}
			if s.uninjected > 0 {
				t.Errorf("%d opted-in pods were admitted without their secrets", s.uninjected)
			}
			if tc.orderly && s.refused > 0 {
				t.Errorf("%d opted-in pods were refused, the first: %v", s.refused, s.refusal)
			}
			if s.otherErr != nil {
				t.Errorf("a pod that did not opt in was refused: %v", s.otherErr)
			}
			if s.slowest > 5*time.Second { // the webhook's time-out: what never reaches it cannot wait for it
				t.Errorf("a pod that did not opt in waited %v", s.slowest)
			}
		})
	}
}

// stream creates pods, opted in and not, until it is stopped.
type stream struct {
	injected, uninjected, refused, others int
	refusal, otherErr                     error
	slowest                               time.Duration // of the pods that did not opt in

	stop func() // waits for what is under way
}

func (s *stream) String() string {
	return fmt.Sprintf("%d opted-in pods injected, %d refused, %d admitted as they were; %d others, the slowest in %v", s.injected, s.refused, s.uninjected, s.others, s.slowest.Round(time.Millisecond))
}

func (w *world) stream(consumer string) *stream {
	config, err := lanyard.Cluster.RESTConfig()
	w.must(err)
	config.QPS = -1 // the stream paces itself
	client, err := kubernetes.NewForConfig(config)
	w.must(err)
	ctx, cancel := context.WithCancel(w.ctx)
	s := new(stream)
	var group sync.WaitGroup
	group.Go(func() {
		for n := 0; pace(ctx); n++ {
			pod, err := w.dryRun(client, w.pod(fmt.Sprintf("in-%d", n), consumer))
			switch {
			case err == nil && injected(pod):
				s.injected++
			case err == nil:
				s.uninjected++
			default:
				if s.refused++; s.refusal == nil {
					s.refusal = err
				}
			}
		}
	})
	group.Go(func() {
		for n := 0; pace(ctx); n++ {
			began := time.Now()
			if _, err := w.dryRun(client, lanyard.Pod(w.namespace, fmt.Sprintf("out-%d", n), account, "")); err != nil && s.otherErr == nil {
				s.otherErr = err
			}
			s.slowest = max(s.slowest, time.Since(began))
			s.others++
		}
	})
	s.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	w.t.Cleanup(s.stop)
	return s
}

// pace returns after a moment, or false when ctx ends.
func pace(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}

// dryRun asks the API server to do everything but store the pod. A request under way when the test ends is let through.
func (w *world) dryRun(client kubernetes.Interface, pod *corev1.Pod) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 30*time.Second)
	defer cancel()
	return client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

func injected(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == "lanyard-init" })
}

// rolledOut waits until a Deployment is what its template says.
func (w *world) rolledOut(name string) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		d, err := lanyard.Client.AppsV1().Deployments(installation.Namespace).Get(w.ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err != nil {
			return err
		}
		if want := *d.Spec.Replicas; d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas != want || d.Status.ReadyReplicas != want || d.Status.Replicas != want {
			return fmt.Errorf("the rollout of %s is not over: %+v", name, d.Status)
		}
		return nil
	}))
}

// replaced waits until a pod of a component is gone and two others are ready.
func (w *world) replaced(component string, victim corev1.Pod) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		_, err := lanyard.Client.CoreV1().Pods(installation.Namespace).Get(w.ctx, victim.Name, metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("%s is still there", victim.Name)
		}
		if ready := len(w.components(component)); ready != 2 {
			return fmt.Errorf("%d pods of %s are ready, want 2", ready, component)
		}
		return nil
	}))
}
