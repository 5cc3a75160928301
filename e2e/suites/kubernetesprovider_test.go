// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKubernetesProvider reads Secrets through the real API server, with the token of a service account that may get two of them and nothing else.
func TestKubernetesProvider(t *testing.T) {
	w := newWorld(t)
	const reader = "secret-reader"
	w.must(lanyard.Namespace(w.ctx, w.namespace, reader))
	secrets := lanyard.Client.CoreV1().Secrets(w.namespace)
	for name, data := range map[string]map[string][]byte{
		"db": {"password": []byte("first"), "user": []byte("app")}, "forbidden": {"key": []byte("x")},
	} {
		_, err := secrets.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{})
		w.must(err)
	}
	_, err := lanyard.Client.RbacV1().Roles(w.namespace).Create(w.ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: reader},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"db", "missing"}}},
	}, metav1.CreateOptions{})
	w.must(err)
	_, err = lanyard.Client.RbacV1().RoleBindings(w.namespace).Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: reader},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: reader},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: reader}},
	}, metav1.CreateOptions{})
	w.must(err)
	token, err := lanyard.Client.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.ctx, reader, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.must(err)
	config, err := lanyard.Cluster.RESTConfig()
	w.must(err)
	authority, err := lanyard.Client.CoreV1().ConfigMaps(w.namespace).Get(w.ctx, "kube-root-ca.crt", metav1.GetOptions{})
	w.must(err)
	w.provider(map[string]any{
		"name": "vault", "type": "kubernetes", // the name is what w.remote refers to
		"config":      map[string]any{"address": config.Host, "ca_bundle": authority.Data["ca.crt"]},
		"credentials": map[string]any{"token": token.Status.Token},
	})
	w.expectCheck("providers/vault/test", "", "")

	t.Run("the next pod has what the Secret holds, the running one keeps what it got", func(t *testing.T) {
		w.remote("password", w.namespace+"/db", "password")
		w.remote("whole", w.namespace+"/db", "")
		consumer := w.consumer("app", map[string]string{"PASSWORD": "password", "WHOLE": "whole"})
		w.create(w.pod("before", consumer))
		w.running("before")
		first := map[string]string{"PASSWORD": "first", "WHOLE": `{"password":"first","user":"app"}`}
		w.expectEnv("before", "app", first)
		changed := "cAnArY" + rand.Text()
		secret, err := secrets.Get(w.ctx, "db", metav1.GetOptions{})
		w.must(err)
		secret.Data["password"] = []byte(changed)
		_, err = secrets.Update(w.ctx, secret, metav1.UpdateOptions{})
		w.must(err)
		w.create(w.pod("after", consumer))
		w.running("after")
		w.expectEnv("after", "app", map[string]string{"PASSWORD": changed})
		w.expectEnv("before", "app", first)
	})

	t.Run("what the API server refuses or does not have is told apart where it can be", func(t *testing.T) {
		for name, tc := range map[string]struct{ path, key, code, reason string }{
			"forbidden": {"/forbidden", "key", "provider_denied", "permission"},
			"nopath":    {"/missing", "key", "provider_not_found", "path_missing"},
			"nokey":     {"/db", "nothing", "provider_not_found", "key_missing"},
		} {
			w.remote(name, w.namespace+tc.path, tc.key)
			w.expectCheck("secrets/"+name+"/check", tc.code, tc.reason)
		}
	})

	t.Run("a token that ended says so", func(t *testing.T) {
		w.must(lanyard.Client.CoreV1().ServiceAccounts(w.namespace).Delete(context.WithoutCancel(w.ctx), reader, metav1.DeleteOptions{}))
		w.must(until(w.ctx, patience, func() error { // the API server remembers a token it accepted for some seconds
			var got struct{ Code, Reason string }
			err := lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/secrets/password/check", nil, &got)
			if err == nil && (got.Code != "provider_denied" || got.Reason != "credentials") {
				err = fmt.Errorf("got %+v", got)
			}
			return err
		}))
	})
}
