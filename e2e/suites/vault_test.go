// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
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
