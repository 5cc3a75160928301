// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestWorkloads rotates a secret under a running Deployment, and asks the registry who has what.
func TestWorkloads(t *testing.T) {
	w := newWorld(t)
	w.put("key", "first")
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	w.create(w.pod("bare", consumer)) // no controller starts another
	pod := w.deploy("rotated", consumer)
	w.running("bare")

	t.Run("the record of a running pod", func(t *testing.T) {
		got := w.workloads("?pod=" + pod.Name)
		if len(got) != 1 || len(got[0].Containers) != 1 || len(got[0].Containers[0].Envs) != 1 {
			t.Fatalf("workloads %+v, want the one with its one ENV", got)
		}
		record, container := got[0], got[0].Containers[0]
		record.Containers = nil
		want := workload{ID: string(pod.UID), Cluster: installation.ClusterName, Namespace: w.namespace, Pod: pod.Name, Node: pod.Spec.NodeName, ServiceAccount: account}
		if fmt.Sprint(record) != fmt.Sprint(want) {
			t.Errorf("record %+v, want %+v", record, want)
		}
		if env := container.Envs[0]; container.Name != "app" || container.Consumer != "app" || env != (workloadEnv{Name: "KEY", Secret: "key", Version: 1}) {
			t.Errorf("container %+v", container)
		}
	})

	t.Run("a new version makes it stale, and changes nothing in the pod", func(t *testing.T) {
		w.put("key", "second")
		for _, name := range []string{pod.Name, "bare"} {
			got := w.workloads("?secret=key&stale=true&pod=" + name)
			if len(got) != 1 || !got[0].Stale || got[0].Containers[0].Envs[0] != (workloadEnv{Name: "KEY", Secret: "key", Version: 1, Stale: "version"}) {
				t.Errorf("workloads %+v, want the stale one", got)
			}
		}
		w.expectEnv(pod.Name, "app", map[string]string{"KEY": "first"})
	})

	t.Run("a delete is refused and names what uses it", func(t *testing.T) {
		var used struct{ Items []reference }
		w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+"/secrets/key/references", nil, &used))
		err := lanyard.API.Call(w.ctx, "DELETE", "/api/v1/organizations/"+w.org+"/secrets/key", nil, nil)
		problem := (*installation.StatusError)(nil)
		if !errors.As(err, &problem) || problem.Status != http.StatusConflict {
			t.Fatalf("deleting what live pods have: %v, want status 409", err)
		}
		var refused struct{ References []reference }
		w.must(json.Unmarshal([]byte(problem.Body), &refused))
		for where, references := range map[string][]reference{"references": used.Items, "the refusal": refused.References} {
			for _, want := range []reference{
				{"consumer", "app", "env KEY"}, {"workload", w.namespace + "/" + pod.Name, "container app env KEY"}, {"workload", w.namespace + "/bare", "container app env KEY"},
			} {
				if !slices.Contains(references, want) {
					t.Errorf("%s: %+v, want %+v among them", where, references, want)
				}
			}
		}
	})

	t.Run("they are stopped where the operator allows it, and the Deployment starts another with the new version", func(t *testing.T) {
		const stop = "/secrets/key/stop-workloads?stale=true"
		if outcomes := w.stop(stop + "&dry_run=true"); len(outcomes) != 2 || outcomes[pod.Name] != "forbidden" || outcomes["bare"] != "no_controller" {
			t.Errorf("in a namespace that nobody allowed: %v", outcomes)
		}
		w.must(lanyard.Upgrade(w.ctx, "registry.stopWorkloads.namespaces[0]="+w.namespace))
		t.Cleanup(func() { // before the namespace goes
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := lanyard.Upgrade(ctx); err != nil {
				t.Errorf("leaving the installation as it was: %v", err)
			}
		})
		w.must(eventually(w.ctx, func() error {
			outcomes := w.stop(stop + "&dry_run=true")
			if outcomes[pod.Name] != "would_stop" {
				return fmt.Errorf("a dry run says %v", outcomes)
			}
			return nil
		}))
		if outcomes := w.stop(stop); len(outcomes) != 2 || outcomes[pod.Name] != "stopped" || outcomes["bare"] != "no_controller" {
			t.Errorf("stopped %v", outcomes)
		}
		next := w.podOf("rotated", pod.UID)
		w.expectEnv(next.Name, "app", map[string]string{"KEY": "second"})
		w.must(until(w.ctx, patience, func() error { // the record of the one that ended goes when the registry has seen its end
			got := w.workloads("?secret=key&consumer=app")
			for _, g := range got {
				if g.ID == string(pod.UID) {
					return errors.New("the pod that was stopped is still told of")
				}
				if g.Pod == next.Name && g.Stale {
					t.Errorf("%+v is stale", g)
				}
			}
			return nil
		}))
		if outcomes := w.stop("/secrets/key/stop-workloads?stale=true&force=true"); len(outcomes) != 1 || outcomes["bare"] != "stopped" {
			t.Errorf("by force stopped %v", outcomes)
		}
	})
}

// What the API answers, as far as it is looked at.
type (
	workload struct {
		ID, Cluster, Namespace, Pod, Node string
		ServiceAccount                    string `json:"service_account"`
		Stale                             bool
		Containers                        []struct {
			Name, Consumer string
			Envs           []workloadEnv
		}
	}
	workloadEnv struct {
		Name, Secret, Stale string
		Version             int
		LastKnownGood       bool   `json:"last_known_good"`
		FetchedAt           string `json:"fetched_at"`
	}
	reference struct{ Kind, Name, Field string }
)

func (w *world) workloads(query string) []workload {
	w.t.Helper()
	var list struct{ Items []workload }
	w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+"/workloads"+query, nil, &list))
	return list.Items
}

// stop returns what became of each pod: its name → the outcome.
func (w *world) stop(path string) map[string]string {
	w.t.Helper()
	var list struct {
		Items []struct{ Pod, Outcome string }
	}
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+path, nil, &list))
	outcomes := map[string]string{}
	for _, item := range list.Items {
		outcomes[item.Pod] = item.Outcome
	}
	return outcomes
}

// deploy makes a Deployment of one pod and returns that when it runs.
func (w *world) deploy(name, consumer string) *corev1.Pod {
	w.t.Helper()
	pod := w.pod("", consumer)
	pod.Labels["app"] = name
	_, err := lanyard.Client.AppsV1().Deployments(w.namespace).Create(w.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec},
		},
	}, metav1.CreateOptions{})
	w.must(err)
	return w.podOf(name, "")
}

// podOf waits until a pod with the label app runs that is not the given one.
func (w *world) podOf(app string, other types.UID) (pod *corev1.Pod) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		pods, err := lanyard.Client.CoreV1().Pods(w.namespace).List(w.ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return err
		}
		for i, p := range pods.Items {
			if p.UID != other && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				pod = &pods.Items[i]
				return nil
			}
		}
		return fmt.Errorf("no such pod of %s runs", app)
	}))
	return pod
}
