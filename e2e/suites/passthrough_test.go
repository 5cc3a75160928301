// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestVaultPassThrough has a real Vault decide by the pods' own service accounts: its policy lets each read what is below its own name.
func TestVaultPassThrough(t *testing.T) {
	v := startVault(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := lanyard.Upgrade(ctx, installation.AllowVault(v.Address)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(lanyard.Upgrade(ctx), lanyard.Cluster.StopVault(ctx)); err != nil {
			t.Errorf("leaving the installation as it was: %v", err)
		}
	})
	w := newWorld(t)
	const other = "other"
	w.must(lanyard.Namespace(w.ctx, w.namespace, other))
	v.put(w, account+"/db", map[string]string{"password": "mine"})
	v.enableKubernetes(w)
	w.must(v.Write(w.ctx, "sys/policies/acl/by-account", map[string]any{
		"policy": `path "kv/data/{{identity.entity.aliases.` + v.accessor(w, "kubernetes") + `.metadata.service_account_name}}/*" { capabilities = ["read"] }`,
	}))
	w.must(v.Write(w.ctx, "auth/kubernetes/role/pods", map[string]any{
		"bound_service_account_names": []string{account, other}, "bound_service_account_namespaces": w.namespace, "audience": "vault", "token_policies": "by-account",
	}))
	w.provider(kubernetesAuth(v.Address, "lanyard"))
	w.remote("password", "kv/"+account+"/db", "password")
	consumer := w.consumer("app", map[string]string{"PASSWORD": "password"})
	w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/consumers/app", map[string]any{"bindings": []map[string]any{
		{"namespace": w.namespace, "service_account": account}, {"namespace": w.namespace, "service_account": other},
	}}, nil))

	// Admitted while the registry has an identity of its own, and started when it has none any more.
	old := w.pod("old", consumer)
	old.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
	old.Spec.RestartPolicy = corev1.RestartPolicyNever
	w.create(old)

	own := kubernetesAuth(v.Address, "pods")["config"].(map[string]any)
	own["auth"].(map[string]any)["mode"] = "passthrough"
	w.must(lanyard.API.Call(w.ctx, "PATCH", "/api/v1/organizations/"+w.org+"/providers/vault", map[string]any{"config": own}, nil))
	w.expectCheck("providers/vault/test", "", "")
	w.expectCheck("secrets/password/check", "provider_denied", "pod_required")
	w.must(eventually(w.ctx, func() error { // the injectors hear of it
		dry, err := lanyard.Client.CoreV1().Pods(w.namespace).Create(w.ctx, w.pod("dry", consumer), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && !hasToken(dry, "vault") {
			err = errors.New("the pod has no token for the audience vault")
		}
		return err
	}))

	w.create(w.pod("mine", consumer))
	w.running("mine")
	w.expectEnv("mine", "app", map[string]string{"PASSWORD": "mine"})

	denied := lanyard.Pod(w.namespace, "denied", other, consumer)
	denied.Spec.RestartPolicy = corev1.RestartPolicyNever
	w.create(denied)
	w.release("old")
	for name, want := range map[string][]string{"denied": {"provider_denied", "permission"}, "old": {"provider_denied", "pod_token", "recreate the pod"}} {
		failed := w.await(name, "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		end := installation.InitTermination(failed)
		if end == nil || end.ExitCode != 15 {
			t.Errorf("%s: the init agent ended with %+v, want exit code 15", name, end)
			continue
		}
		for _, part := range append(want, "PASSWORD", "provider vault") {
			if !strings.Contains(end.Message, part) {
				t.Errorf("%s: the message does not name %q: %s", name, part, end.Message)
			}
		}
	}
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

// accessor is what policies call an authentication method by.
func (v *vault) accessor(w *world, method string) string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, v.Address+"/v1/sys/auth/"+method, http.NoBody)
	w.must(err)
	request.Header.Set("X-Vault-Token", v.RootToken)
	response, err := http.DefaultClient.Do(request)
	w.must(err)
	defer response.Body.Close()
	var answer struct {
		Data struct{ Accessor string }
	}
	w.must(json.NewDecoder(response.Body).Decode(&answer))
	return answer.Data.Accessor
}
