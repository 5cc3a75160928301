// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// grant lets exactly these service accounts of the world's namespace refer to a secret.
func (w *world) grant(secret string, accounts ...string) {
	w.t.Helper()
	grants := []map[string]any{}
	for _, account := range accounts {
		grants = append(grants, map[string]any{"namespace": w.namespace, "service_account": account})
	}
	w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/secrets/"+secret, map[string]any{"grants": grants}, nil))
}

// inline is a pod without a consumer that refers to secrets of the world's organization: ENV → secret, or secret#version.
func (w *world) inline(name, delivery string, envs ...corev1.EnvVar) *corev1.Pod {
	pod := lanyard.Pod(w.namespace, name, account, "")
	pod.Labels = map[string]string{"lanyard.dev/inject": "true"}
	pod.Annotations = map[string]string{"lanyard.dev/delivery": delivery}
	pod.Spec.Containers[0].Env = envs
	if delivery != "envfile" {
		pod.Spec.Containers[0].Command = []string{"/probe"}
	}
	return pod
}

func (w *world) refer(env, secret string) corev1.EnvVar {
	return corev1.EnvVar{Name: env, Value: "lanyard://" + w.org + "/" + secret}
}

func TestInline(t *testing.T) {
	w := newWorld(t)
	w.put("key", "first")
	w.put("key", "second")
	w.put("ungranted", "value")
	w.put("withdrawn", "value")
	for _, secret := range []string{"key", "withdrawn"} {
		w.grant(secret, account)
	}

	t.Run("granted references have their values with each delivery, a pinned version too", func(t *testing.T) {
		deliveries := []string{"envfile", "exec", "direct", "file"}
		for _, delivery := range deliveries {
			pod := w.inline(delivery, delivery, w.refer("KEY", "key"), w.refer("PINNED", "key#1"), corev1.EnvVar{Name: "PLAIN", Value: "mine"})
			switch delivery {
			case "envfile": // the one with which the kubelet knows the value
				pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "AFTER", Value: "<$(KEY)>"})
			case "file":
				pod.Spec.Containers[0].Command = []string{"/probe", "files", filesDir}
			}
			restrict(pod)
			w.create(pod)
		}
		for _, delivery := range deliveries {
			w.running(delivery)
			want := map[string]string{"KEY": "second", "PINNED": "first"}
			switch delivery {
			case "envfile":
				want["AFTER"], want["PLAIN"] = "<second>", "mine"
			case "exec", "direct":
				want["PLAIN"] = "mine"
			}
			w.expectEnv(delivery, "app", want)
		}
	})

	t.Run("beside a consumer, and in an init container", func(t *testing.T) {
		pod := w.pod("beside", w.consumer("app", map[string]string{"OWN": "ungranted"})) // a binding needs no grant
		pod.Spec.Containers[0].Env = []corev1.EnvVar{w.refer("KEY", "key")}
		before := *pod.Spec.Containers[0].DeepCopy()
		before.Name, before.Command = "before", []string{"/probe", "print"}
		pod.Spec.InitContainers = []corev1.Container{before}
		w.create(pod)
		w.running("beside")
		w.expectEnv("beside", "app", map[string]string{"KEY": "second", "OWN": "value"})
		w.expectEnv("beside", "before", map[string]string{"KEY": "second"})
	})

	t.Run("refused at admission, with the ENV and the name", func(t *testing.T) {
		for name, tc := range map[string]struct {
			change func(*corev1.Pod)
			want   []string
		}{
			"a secret without a grant": {
				func(p *corev1.Pod) { p.Spec.Containers[0].Env[0] = w.refer("KEY", "ungranted") },
				[]string{"not_granted", w.org + "/ungranted", w.namespace + "/" + account},
			},
			"an unknown secret": {
				func(p *corev1.Pod) { p.Spec.Containers[0].Env[0] = w.refer("KEY", "nothing") },
				[]string{"not_granted", w.org + "/nothing", w.namespace + "/" + account},
			},
			"a service account that the grant does not name": {
				func(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" },
				[]string{"not_granted", w.org + "/key", w.namespace + "/default"},
			},
			"another spelling": {
				func(p *corev1.Pod) { p.Spec.Containers[0].Env[0] = w.refer("KEY", "key#latest") },
				[]string{"inline_malformed"},
			},
		} {
			pod := w.inline("refused", "envfile", w.refer("KEY", "key"))
			tc.change(pod)
			_, err := lanyard.Create(w.ctx, pod)
			for _, want := range append(tc.want, "spec.containers[0].env[0].value") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want a refusal that says %q", name, err, want)
				}
			}
		}
	})

	t.Run("refused at the start", func(t *testing.T) {
		gated := func(name, secret string) {
			pod := w.inline(name, "envfile", w.refer("KEY", secret))
			pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
			pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			w.create(pod)
		}
		gated("withdrawn", "withdrawn")
		gated("no-version", "key#9") // what versions there are is not known at admission
		w.grant("withdrawn")
		for name, want := range map[string]struct {
			exit    int32
			message []string
		}{
			"withdrawn":  {11, []string{"not_granted", w.org + "/withdrawn"}},
			"no-version": {15, []string{"version_missing", "KEY of container app", "key"}},
		} {
			w.release(name)
			failed := w.await(name, "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
			end := installation.InitTermination(failed)
			for _, text := range want.message {
				if end == nil || end.ExitCode != want.exit || !strings.Contains(end.Message, text) {
					t.Errorf("%s: the init agent ended with %s, want exit code %d and a message that says %q", name, fmt.Sprint(end), want.exit, text)
				}
			}
		}
	})
}
