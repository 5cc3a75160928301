// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// other is a service account that Vault knows, beside the one pods usually have.
const other = "other"

// startPassThrough starts a Vault behind a relay, whose policy lets each of the two service accounts read what is below its own name, and puts a password below that of the usual one. The pods of both may claim it
// by the consumer, from the provider that is made for the relay's address.
func startPassThrough(t *testing.T, provider func(address string) map[string]any) (v *vault, r *relay, w *world, consumer string) {
	t.Helper()
	v = startVault(t)
	r = v.relay(t)
	v.allow(t, r.address)
	w = newWorld(t)
	w.must(lanyard.Namespace(w.ctx, w.namespace, other))
	v.enableKubernetes(w)
	v.letPods(w, account, other)
	v.put(w, account+"/db", map[string]string{"password": "value"})
	w.provider(provider(r.address))
	w.remote("password", "kv/"+account+"/db", "password")
	consumer = w.consumer("app", map[string]string{"PASSWORD": "password"})
	w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/consumers/app", map[string]any{"bindings": []map[string]any{
		{"namespace": w.namespace, "service_account": account}, {"namespace": w.namespace, "service_account": other},
	}}, nil))
	return v, r, w, consumer
}

// TestVaultPassThrough has a real Vault decide by the pods' own service accounts, whichever way their values are delivered: its policy lets each read what is below its own name.
func TestVaultPassThrough(t *testing.T) {
	v, r, w, consumer := startPassThrough(t, func(address string) map[string]any { return kubernetesAuth(address, "lanyard") })

	// Admitted while the registry has an identity of its own, and started when it has none any more.
	old := w.pod("old", consumer)
	old.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
	old.Spec.RestartPolicy = corev1.RestartPolicyNever
	w.create(old)

	w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/providers/vault", map[string]any{"config": passThrough(r.address)["config"]}, nil))
	w.expectCheck("providers/vault/test", "", "")
	w.expectCheck("secrets/password/check", "provider_denied", "pod_required")
	w.must(eventually(w.ctx, func() error { // the injectors hear of it
		dry, err := lanyard.Client.CoreV1().Pods(w.namespace).Create(w.ctx, w.pod("dry", consumer), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && !hasToken(dry, "vault") {
			err = errors.New("the pod has no token for the audience vault")
		}
		return err
	}))
	// strange is a pod's twin with the service account that Vault does not let read what the consumer has.
	strange := func(pod *corev1.Pod) *corev1.Pod {
		pod.Spec.ServiceAccountName = other
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		return pod
	}

	t.Run("an init agent", func(t *testing.T) {
		w := w.in(t)
		v.put(w, account+"/db", map[string]string{"password": "mine"})
		w.create(w.pod("init", consumer))
		w.running("init")
		w.expectEnv("init", "app", map[string]string{"PASSWORD": "mine"})
		w.create(strange(w.pod("init-strange", consumer)))
		w.release("old")
		w.expectEnd("init-strange", "lanyard-init", "provider_denied", "permission")
		w.expectEnd("old", "lanyard-init", "provider_denied", "pod_token", "recreate the pod")
	})

	t.Run("a sidecar, at each of its looks", func(t *testing.T) {
		w := w.in(t)
		v.put(w, account+"/db", map[string]string{"password": "first"})
		w.create(w.following("sidecar", consumer, nil))
		w.await("sidecar", "ready", ready)
		w.awaitShown("sidecar", "PASSWORD", "first")
		v.put(w, account+"/db", map[string]string{"password": "second"})
		w.awaitShown("sidecar", "PASSWORD", "second")

		w.create(strange(w.following("sidecar-strange", consumer, nil)))
		w.expectEnd("sidecar-strange", "lanyard-sidecar", "provider_denied", "permission")
		w.delete("sidecar-strange")

		// What Vault takes away is not replaced, and not taken from the pod either.
		v.letPods(w, other)
		v.put(w, account+"/db", map[string]string{"password": "third"})
		w.sidecarLogs("sidecar", `"msg":"resolve refused for good"`, `"env_reason":"provider_denied"`, `"provider":"vault"`, `"msg":"refresh failed, the files stay as they are"`)
		if got := w.shown("sidecar", "PASSWORD"); got != "second" {
			t.Error("the file is not what it was")
		}
		v.letPods(w, account, other)
		w.awaitShown("sidecar", "PASSWORD", "third")
		w.delete("sidecar")
	})

	t.Run("a container that fetches for itself, at each of its starts", func(t *testing.T) {
		w := w.in(t)
		v.put(w, account+"/db", map[string]string{"password": "first"})
		w.create(direct(w.pod("direct", consumer), "/probe", "print"))
		w.expectEnv("direct", "app", map[string]string{"PASSWORD": "first"})
		v.put(w, account+"/db", map[string]string{"password": "second"})
		w.must(until(w.ctx, patience, func() error { // the kubelet starts it again
			env, err := lanyard.Env(w.ctx, w.namespace, "direct", "app")
			if err == nil && string(env["PASSWORD"]) != "second" {
				err = errors.New("it still has the value of before")
			}
			return err
		}))
		w.delete("direct")
		w.create(strange(direct(w.pod("direct-strange", consumer), "/probe", "print")))
		w.expectEnd("direct-strange", "app", "provider_denied", "permission")
	})

	// Each has logged in as itself; the one without a token, which is no other pod's to lend, has not.
	if want, got := []string{"direct", "direct-strange", "init", "init-strange", "sidecar", "sidecar-strange"}, r.pods(); !slices.Equal(got, want) {
		t.Errorf("logged in at Vault have %q, want %q", got, want)
	}
}

// expectEnd waits until a container that got no values has ended, and checks that its message names the ENV, the provider and these parts.
func (w *world) expectEnd(pod, container string, parts ...string) {
	w.t.Helper()
	ended := w.await(pod, "refused", func(p *corev1.Pod) bool { return installation.Termination(p, container) != nil })
	end := installation.Termination(ended, container)
	if end.ExitCode != 15 {
		w.t.Errorf("%s: %s ended with %+v, want exit code 15", pod, container, end)
		return
	}
	for _, part := range append(parts, "PASSWORD", "provider vault") {
		if !strings.Contains(end.Message, part) {
			w.t.Errorf("%s: the message does not name %q: %s", pod, part, end.Message)
		}
	}
}

// awaitShown waits until a file holds a value.
func (w *world) awaitShown(pod, file, want string) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		if w.shown(pod, file) != want {
			return errors.New("the file " + file + " has not followed")
		}
		return nil
	}))
}

// hasToken reports whether the pod was given a token of its own for an audience.
func hasToken(pod *corev1.Pod, audience string) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Name != "lanyard-token" || v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience {
				return true
			}
		}
	}
	return false
}
