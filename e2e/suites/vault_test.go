// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// secretID is what the registry logs in with.
const secretID = "cAnArY-secret-id-5b1e"

// vault is the Vault beside the cluster, with an AppRole that may read everything below kv/ but kv/denied/.
type vault struct{ *cluster.Vault }

func startVault(t *testing.T) *vault {
	t.Helper()
	v := new(vault)
	v.start(t)
	return v
}

// start starts it, or starts it again with nothing in it.
func (v *vault) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it may have to be compiled
	defer cancel()
	started, err := lanyard.Cluster.StartVault(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v.Vault = started
	for _, step := range []struct {
		path string
		data map[string]any
	}{
		{"sys/policies/acl/reader", map[string]any{"policy": `path "kv/data/*" { capabilities = ["read"] } path "kv/data/denied/*" { capabilities = ["deny"] }`}},
		{"sys/auth/approle", map[string]any{"type": "approle"}},
		{"auth/approle/role/reader", map[string]any{"token_policies": "reader", "token_ttl": "1h"}},
		{"auth/approle/role/reader/role-id", map[string]any{"role_id": "e2e-role"}},
		{"auth/approle/role/reader/custom-secret-id", map[string]any{"secret_id": secretID}},
	} {
		if err := v.Write(ctx, step.path, step.data); err != nil {
			t.Fatal(err)
		}
	}
}

// allow lets providers use a Vault at the address, as the operator's word would, until the test ends; then Vault is stopped, too.
func (v *vault) allow(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(lanyard.Upgrade(ctx), lanyard.Cluster.StopVault(ctx)); err != nil {
			t.Errorf("leaving the installation as it was: %v", err)
		}
	})
	if err := lanyard.Upgrade(ctx, installation.AllowVault(address)...); err != nil {
		t.Fatal(err)
	}
}

func (v *vault) put(w *world, path string, fields map[string]string) {
	w.t.Helper()
	w.must(v.Write(w.ctx, "kv/data/"+path, map[string]any{"data": fields}))
}

// enableKubernetes lets the registry's service account log in: Vault asks the API server about tokens, as a reviewer of its own.
func (v *vault) enableKubernetes(w *world) {
	w.t.Helper()
	const reviewer = "vault-reviewer"
	w.must(lanyard.Namespace(w.ctx, w.namespace, reviewer))
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: reviewer},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: reviewer}},
	}
	bindings := lanyard.Client.RbacV1().ClusterRoleBindings()
	if _, err := bindings.Create(w.ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		w.must(err)
	}
	w.t.Cleanup(func() { _ = bindings.Delete(context.Background(), reviewer, metav1.DeleteOptions{}) })
	token, err := lanyard.Client.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.ctx, reviewer, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.must(err)
	config, err := lanyard.Cluster.RESTConfig()
	w.must(err)
	w.must(rest.LoadTLSFiles(config))
	w.must(v.Write(w.ctx, "sys/auth/kubernetes", map[string]any{"type": "kubernetes"}))
	w.must(v.Write(w.ctx, "auth/kubernetes/config", map[string]any{
		"kubernetes_host": config.Host, "kubernetes_ca_cert": string(config.CAData), "token_reviewer_jwt": token.Status.Token, "disable_local_ca_jwt": true,
	}))
	for role, account := range map[string]string{"lanyard": installation.Release + "-registry", "somebody": "somebody"} {
		w.must(v.Write(w.ctx, "auth/kubernetes/role/"+role, map[string]any{
			"bound_service_account_names": account, "bound_service_account_namespaces": installation.Namespace, "audience": "vault", "token_policies": "reader",
		}))
	}
}

func approle(address string) map[string]any {
	return map[string]any{
		"name": "vault", "type": "vault", "config": map[string]any{"address": address, "auth": map[string]any{"method": "approle", "role_id": "e2e-role"}},
		"credentials": map[string]any{"secret_id": secretID},
	}
}

func kubernetesAuth(address, role string) map[string]any {
	return map[string]any{"name": "vault", "type": "vault", "config": map[string]any{"address": address, "auth": map[string]any{"method": "kubernetes", "role": role}}}
}

// passThrough is a provider that is read as the pods are that start.
func passThrough(address string) map[string]any {
	provider := kubernetesAuth(address, "pods")
	provider["config"].(map[string]any)["auth"].(map[string]any)["mode"] = "passthrough"
	return provider
}

// letPods lets pods of the world with one of these service accounts log in, each to read what is below the account's name. Those that were let before and are not named are let no more. It needs enableKubernetes.
func (v *vault) letPods(w *world, accounts ...string) {
	w.t.Helper()
	w.must(v.Write(w.ctx, "sys/policies/acl/by-account", map[string]any{
		"policy": `path "kv/data/{{identity.entity.aliases.` + v.accessor(w, "kubernetes") + `.metadata.service_account_name}}/*" { capabilities = ["read"] }`,
	}))
	w.must(v.Write(w.ctx, "auth/kubernetes/role/pods", map[string]any{
		"bound_service_account_names": accounts, "bound_service_account_namespaces": w.namespace, "audience": "vault", "token_policies": "by-account",
	}))
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
