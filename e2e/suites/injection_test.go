// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// awkward are values that peers are known to alter.
var awkward = map[string]string{ // :: ENV → value
	"SPACES":  "  leading, inner  and trailing ",
	"DOLLAR":  "$HOME $(HOME) ${HOME} $$",
	"QUOTES":  `"double" and \ backslash \n`,
	"EQUALS":  "a=b=c",
	"PEM":     "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nIBADAN\n-----END PRIVATE KEY-----\n",
	"UTF8":    "grüße, 世界 ✓",
	"HASH":    "# not a comment",
	"NEWLINE": "\n\nlines\n\n",
	"CR":      "carriage\rreturn",
	"TAB":     "\ttabs\t",
	"LONG":    strings.Repeat("0123456789abcdef", 4000), // 64,000 bytes in one line
	"JSON":    `{"a": ["b", 1], "c": null}`,
}

func TestInjection(t *testing.T) {
	t.Run("values reach the container byte for byte", func(t *testing.T) {
		w := newWorld(t)
		envs := map[string]string{}
		for env, value := range awkward {
			secret := "s-" + strings.ToLower(env)
			w.put(secret, value)
			envs[env] = secret
		}
		w.create(w.pod("app", w.consumer("app", envs)))
		w.running("app")
		w.expectEnv("app", "app", awkward)
	})

	t.Run("each container has its own consumer's ENVs and no other's", func(t *testing.T) {
		w := newWorld(t)
		w.put("a", "for a")
		w.put("b", "for b")
		pod := w.pod("two", w.consumer("a", map[string]string{"A": "a"}))
		pod.Annotations["lanyard.dev/consumer.second"] = w.consumer("b", map[string]string{"B": "b"})
		second := *pod.Spec.Containers[0].DeepCopy()
		second.Name, second.Command = "second", []string{"/probe", "print"}
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		pod.Spec.Containers = append(pod.Spec.Containers, second)
		w.create(pod)
		w.await("two", "started", func(p *corev1.Pod) bool {
			for _, s := range p.Status.ContainerStatuses {
				if s.State.Running == nil && s.State.Terminated == nil {
					return false
				}
			}
			return len(p.Status.ContainerStatuses) == 2
		})
		w.expectEnv("two", "app", map[string]string{"A": "for a"})
		w.expectEnv("two", "second", map[string]string{"B": "for b"})
		for container, foreign := range map[string]string{"app": "B", "second": "A"} {
			env, err := lanyard.Env(w.ctx, w.namespace, "two", container)
			w.must(err)
			if _, leaked := env[foreign]; leaked {
				t.Errorf("container %s has ENV %s of the other container", container, foreign)
			}
		}
	})

	t.Run("a pod without the label is not touched", func(t *testing.T) {
		w := newWorld(t)
		w.create(lanyard.Pod(w.namespace, "plain", account, ""))
		pod := w.running("plain")
		if len(pod.Spec.InitContainers) != 0 || len(pod.Spec.Containers[0].Env) != 0 || len(pod.Annotations) != 0 {
			t.Errorf("the pod was changed: %d init containers, annotations %v", len(pod.Spec.InitContainers), pod.Annotations)
		}
	})

	t.Run("a rotated secret reaches the next pod, and not the running one", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "first")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		w.create(w.pod("app", consumer))
		w.running("app")
		w.put("key", "second")
		w.expectEnv("app", "app", map[string]string{"KEY": "first"})
		w.delete("app")
		w.create(w.pod("app", consumer))
		w.running("app")
		w.expectEnv("app", "app", map[string]string{"KEY": "second"})
	})

	t.Run("a restarted container has its ENVs again", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "stays")
		pod := w.pod("again", w.consumer("app", map[string]string{"KEY": "key"}))
		pod.Spec.Containers[0].Command = []string{"/probe", "print"} // ends at once, so the kubelet starts it again
		w.create(pod)
		w.await("again", "restarted", func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount >= 2
		})
		w.expectEnv("again", "app", map[string]string{"KEY": "stays"})
	})

	t.Run("every kind of workload, with an env file and with a wrapped command", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "everywhere")
		consumer := w.consumer("app", map[string]string{"KEY": "key"})
		meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: w.namespace} }
		selector := func(name string) *metav1.LabelSelector {
			return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
		}
		template := func(name, delivery string, command ...string) corev1.PodTemplateSpec {
			pod := w.pod("", consumer)
			pod.Labels["app"] = name
			pod.Annotations["lanyard.dev/delivery"] = delivery
			pod.Spec.Containers[0].Command = command
			if len(command) > 1 {
				pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			}
			return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec}
		}
		apps, batch := lanyard.Client.AppsV1(), lanyard.Client.BatchV1()
		create := map[string]func(name, delivery string) error{
			"deployment": func(name, delivery string) error {
				_, err := apps.Deployments(w.namespace).Create(w.ctx, &appsv1.Deployment{ObjectMeta: meta(name), Spec: appsv1.DeploymentSpec{
					Selector: selector(name), Template: template(name, delivery, "/probe"),
				}}, metav1.CreateOptions{})
				return err
			},
			"statefulset": func(name, delivery string) error {
				_, err := apps.StatefulSets(w.namespace).Create(w.ctx, &appsv1.StatefulSet{ObjectMeta: meta(name), Spec: appsv1.StatefulSetSpec{
					Selector: selector(name), Template: template(name, delivery, "/probe"),
				}}, metav1.CreateOptions{})
				return err
			},
			"daemonset": func(name, delivery string) error {
				_, err := apps.DaemonSets(w.namespace).Create(w.ctx, &appsv1.DaemonSet{ObjectMeta: meta(name), Spec: appsv1.DaemonSetSpec{
					Selector: selector(name), Template: template(name, delivery, "/probe"),
				}}, metav1.CreateOptions{})
				return err
			},
			"job": func(name, delivery string) error {
				_, err := batch.Jobs(w.namespace).Create(w.ctx, &batchv1.Job{ObjectMeta: meta(name), Spec: batchv1.JobSpec{Template: template(name, delivery, "/probe", "print")}}, metav1.CreateOptions{})
				return err
			},
			"cronjob": func(name, delivery string) error {
				_, err := batch.CronJobs(w.namespace).Create(w.ctx, &batchv1.CronJob{ObjectMeta: meta(name), Spec: batchv1.CronJobSpec{
					Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template(name, delivery, "/probe", "print")}},
				}}, metav1.CreateOptions{})
				return err
			},
		}
		kinds := []string{"deployment", "statefulset", "daemonset", "job", "cronjob"}
		var names []string
		for i, kind := range kinds {
			for _, delivery := range []string{"envfile", []string{"exec", "direct"}[i%2]} {
				names = append(names, kind+"-"+delivery)
				w.must(create[kind](kind+"-"+delivery, delivery))
			}
		}
		for _, app := range names {
			var name string
			w.must(until(w.ctx, patience, func() error {
				pods, err := lanyard.Client.CoreV1().Pods(w.namespace).List(w.ctx, metav1.ListOptions{LabelSelector: "app=" + app})
				if err != nil {
					return err
				}
				for _, p := range pods.Items {
					if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodSucceeded {
						name = p.Name
						return nil
					}
				}
				return fmt.Errorf("no pod of %s has started", app)
			}))
			w.expectEnv(name, "app", map[string]string{"KEY": "everywhere"})
		}
	})
}
