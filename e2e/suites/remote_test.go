// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestRemote reads secrets from a real Vault. It speaks plain HTTP, which is the operator's decision to allow: first without it, then with it.
func TestRemote(t *testing.T) {
	v := startVault(t)
	t.Run("without the operator's word, a provider over http is refused, and says why", func(t *testing.T) {
		w := newWorld(t)
		err := lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/providers", approle(v.Address), nil)
		expectRefusal(t, err, "/config/address", "https://")
		err = lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/providers", kubernetesAuth("https://vault.example", "vault"), nil)
		expectRefusal(t, err, "/config/auth/method", "trusted")
	})

	v.allow(t, v.Address)

	t.Run("what is special stays refused", func(t *testing.T) {
		w := newWorld(t)
		for _, address := range []string{"https://127.0.0.1:8200", "http://169.254.169.254", "https://[::ffff:127.0.0.1]", "https://0x7f.1"} {
			err := lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/providers", approle(address), nil)
			expectRefusal(t, err, "/config/address", "address")
		}
	})

	t.Run("the next pod has what Vault has, the running one keeps what it got", func(t *testing.T) {
		w := newWorld(t)
		v.put(w, w.org+"/db", map[string]string{"password": "first", "user": "app"})
		w.provider(approle(v.Address))
		w.put("local", "here")
		w.remote("password", "kv/"+w.org+"/db", "password")
		w.remote("user", "kv/data/"+w.org+"/db", "user") // the other spelling of the path
		w.remote("whole", "kv/"+w.org+"/db", "")
		consumer := w.consumer("app", map[string]string{"PASSWORD": "password", "USER_NAME": "user", "WHOLE": "whole", "LOCAL": "local"})
		w.create(w.pod("before", consumer))
		w.running("before")
		first := map[string]string{"PASSWORD": "first", "USER_NAME": "app", "LOCAL": "here", "WHOLE": `{"password":"first","user":"app"}`}
		w.expectEnv("before", "app", first)

		v.put(w, w.org+"/db", map[string]string{"password": "second", "user": "app"})
		w.create(w.pod("after", consumer))
		w.running("after")
		w.expectEnv("after", "app", map[string]string{"PASSWORD": "second", "USER_NAME": "app", "LOCAL": "here", "WHOLE": `{"password":"second","user":"app"}`})
		w.expectEnv("before", "app", first)

		// Neither a value nor what the registry logs in with is kept in clear.
		canary := "cAnArY" + rand.Text()
		v.put(w, w.org+"/db", map[string]string{"password": canary, "user": "app"})
		w.create(w.pod("canary", consumer))
		w.running("canary")
		w.expectEnv("canary", "app", map[string]string{"PASSWORD": canary})
		w.expectCheck("secrets/password/check", "", "")
		search := func(where string, content []byte) {
			for _, needle := range []string{canary, secretID} {
				if strings.Contains(string(content), needle) {
					t.Errorf("%q stands in %s", needle, where)
				}
			}
		}
		_, _, err := lanyard.StoredFiles(w.ctx, func(content []byte) error {
			search("etcd's files", content)
			return nil
		})
		w.must(err)
		log, err := lanyard.Cluster.Kubectl(w.ctx, "logs", "-n", installation.Namespace, "-l", "app.kubernetes.io/component=registry", "--tail=-1").Output()
		w.must(err)
		search("the registry's log", log)
		var answer json.RawMessage
		for _, path := range []string{"/providers", "/providers/vault", "/secrets", "/audit-events"} {
			w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+path, nil, &answer))
			search("the API's answer to "+path, answer)
		}
	})

	t.Run("what Vault refuses or does not have ends the start with the reason", func(t *testing.T) {
		w := newWorld(t)
		v.put(w, w.org+"/db", map[string]string{"password": "x"})
		v.put(w, "denied/"+w.org, map[string]string{"password": "x"})
		w.provider(approle(v.Address))
		w.remote("denied", "kv/denied/"+w.org, "password")
		w.remote("nokey", "kv/"+w.org+"/db", "nothing")
		w.remote("nopath", "kv/"+w.org+"/nothing", "password")
		for secret, want := range map[string][]string{
			"denied": {"provider_denied", "permission"}, "nokey": {"provider_not_found", "key_missing", "nothing"}, "nopath": {"provider_not_found", "path_missing"},
		} {
			pod := w.pod(secret, w.consumer(secret, map[string]string{"PASSWORD": secret}))
			pod.Spec.RestartPolicy = corev1.RestartPolicyNever
			w.create(pod)
			failed := w.await(secret, "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
			end := installation.InitTermination(failed)
			if end == nil || end.ExitCode != 15 {
				t.Errorf("%s: the init agent ended with %+v, want exit code 15", secret, end)
				continue
			}
			for _, part := range append(want, "PASSWORD", "secret "+secret, "provider vault") {
				if !strings.Contains(end.Message, part) {
					t.Errorf("%s: the message does not name %q: %s", secret, part, end.Message)
				}
			}
			w.expectCheck("secrets/"+secret+"/check", want[0], want[1])
		}
	})

	t.Run("Vault down: the pod waits, says for whom, and starts by itself when it is back", func(t *testing.T) {
		w := newWorld(t)
		v.put(w, w.org+"/db", map[string]string{"password": "patient"})
		w.provider(approle(v.Address))
		w.put("local", "here")
		w.remote("password", "kv/"+w.org+"/db", "password")
		consumer := w.consumer("app", map[string]string{"PASSWORD": "password"})
		local := w.consumer("local", map[string]string{"LOCAL": "local"})
		w.create(w.pod("before", consumer))
		w.running("before")

		w.must(lanyard.Cluster.StopVault(w.ctx))
		w.create(w.pod("app", consumer))
		w.must(until(w.ctx, patience, func() error {
			log, err := lanyard.Log(w.ctx, w.namespace, "app", "lanyard-init")
			if err == nil && (!strings.Contains(string(log), `"provider":"vault"`) || !strings.Contains(string(log), "provider_unavailable")) {
				err = errors.New("the init agent has not named the provider and the reason")
			}
			return err
		}))
		w.create(w.pod("others", local)) // a dead Vault is nobody else's trouble
		w.running("others")
		pod, err := lanyard.Client.CoreV1().Pods(w.namespace).Get(w.ctx, "app", metav1.GetOptions{})
		w.must(err)
		if pod.Status.Phase != corev1.PodPending {
			t.Fatalf("the pod is %s without its secrets", pod.Status.Phase)
		}
		w.expectEnv("before", "app", map[string]string{"PASSWORD": "patient"})

		v.start(t) // in memory: everything is gone
		v.put(w, w.org+"/db", map[string]string{"password": "patient"})
		w.running("app")
		w.expectEnv("app", "app", map[string]string{"PASSWORD": "patient"})
		w.expectCheck("providers/vault/test", "", "")
	})

	t.Run("the registry's own service account, reviewed by the API server", func(t *testing.T) {
		w := newWorld(t)
		v.put(w, w.org+"/db", map[string]string{"password": "by kubernetes"})
		v.enableKubernetes(w)
		w.provider(kubernetesAuth(v.Address, "lanyard"))
		w.remote("password", "kv/"+w.org+"/db", "password")
		w.expectCheck("providers/vault/test", "", "")
		w.create(w.pod("app", w.consumer("app", map[string]string{"PASSWORD": "password"})))
		w.running("app")
		w.expectEnv("app", "app", map[string]string{"PASSWORD": "by kubernetes"})
		// A role for somebody else is not ours to use.
		w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/providers/vault", map[string]any{"config": kubernetesAuth(v.Address, "somebody")["config"]}, nil))
		w.expectCheck("providers/vault/test", "provider_denied", "credentials")
	})
}

func expectRefusal(t *testing.T, err error, parts ...string) {
	t.Helper()
	problem, ok := errors.AsType[*installation.StatusError](err)
	if !ok || problem.Status != 422 {
		t.Errorf("got %v, want a refusal with 422", err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(problem.Body, part) {
			t.Errorf("the refusal does not name %q: %s", part, problem.Body)
		}
	}
}

func (w *world) provider(body map[string]any) {
	w.t.Helper()
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/providers", body, nil))
}

// remote makes a remote secret of the provider "vault".
func (w *world) remote(name, path, key string) {
	w.t.Helper()
	body := map[string]any{"name": name, "provider_id": "vault", "remote_path": path, "remote_key": key}
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/secrets", body, nil))
}

// expectCheck checks a secret or tests a provider; an empty code means that it works.
func (w *world) expectCheck(path, code, reason string) {
	w.t.Helper()
	var got struct {
		OK                    bool
		Code, Reason, Message string
	}
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/"+path, nil, &got))
	if got.OK != (code == "") || got.Code != code || got.Reason != reason {
		w.t.Errorf("%s: got %+v, want %q %q", path, got, code, reason)
	}
}
