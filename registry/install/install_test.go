// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/lanyard-dev/lanyard/internal/pki"
	"github.com/lanyard-dev/lanyard/registry/install"
)

func config(client *fake.Clientset, out *bytes.Buffer) install.Config {
	return install.Config{
		Client: client.CoreV1(), Namespace: "lanyard", Labels: map[string]string{"app.kubernetes.io/name": "lanyard"}, Out: out,
		KeySecret: "keys", BootstrapSecret: "bootstrap", CASecret: "ca", CAConfigMap: "ca-bundle", InjectorSecret: "injector",
	}
}

func contents(t *testing.T, client *fake.Clientset) map[string]map[string][]byte {
	t.Helper()
	list, err := client.CoreV1().Secrets("lanyard").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]map[string][]byte{}
	for _, s := range list.Items {
		m[s.Name] = s.Data
	}
	return m
}

func TestASecondRunChangesNothing(t *testing.T) {
	client, out := fake.NewClientset(), &bytes.Buffer{}
	if err := install.Run(t.Context(), config(client, out)); err != nil {
		t.Fatal(err)
	}
	first := contents(t, client)
	for name, keys := range map[string][]string{"keys": {"primary", "kek-1"}, "bootstrap": {"token"}, "ca": {"tls.crt", "tls.key"}} {
		for _, key := range keys {
			if len(first[name][key]) == 0 {
				t.Errorf("secret %s has no %s", name, key)
			}
		}
	}
	if err := install.Run(t.Context(), config(client, out)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, contents(t, client)); diff != "" {
		t.Error("the second run changed a secret")
	}
	for _, secret := range first {
		for _, value := range secret {
			if len(value) > 16 && strings.Contains(out.String(), string(value)) {
				t.Error("the output contains what was created")
			}
		}
	}
	if !strings.Contains(out.String(), "secret lanyard/keys: created\n") || !strings.Contains(out.String(), "secret lanyard/keys: kept as it is\n") {
		t.Errorf("output does not tell what was done:\n%s", out)
	}
}

func TestTheBundleIsTheAuthorityOfTheSecret(t *testing.T) {
	client := fake.NewClientset()
	cfg := config(client, &bytes.Buffer{})
	if err := install.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	maps := client.CoreV1().ConfigMaps("lanyard")
	bundle, err := maps.Get(t.Context(), "ca-bundle", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ca := contents(t, client)["ca"]
	if _, err := pki.ParseCA(ca[corev1.TLSCertKey], ca[corev1.TLSPrivateKeyKey]); err != nil {
		t.Fatal(err)
	}
	if bundle.Data["ca.crt"] != string(ca[corev1.TLSCertKey]) {
		t.Error("the ConfigMap holds another certificate than the Secret")
	}

	t.Run("a lost ConfigMap is made again from the Secret", func(t *testing.T) {
		if err := maps.Delete(t.Context(), "ca-bundle", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := install.Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		again, err := maps.Get(t.Context(), "ca-bundle", metav1.GetOptions{})
		if err != nil || again.Data["ca.crt"] != bundle.Data["ca.crt"] {
			t.Errorf("bundle not restored: %v", err)
		}
	})
	t.Run("a ConfigMap of another authority is reported, not overwritten", func(t *testing.T) {
		again, err := maps.Get(t.Context(), "ca-bundle", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		again.Data["ca.crt"] = "other"
		if _, err := maps.Update(t.Context(), again, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := install.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "delete the configmap") {
			t.Errorf("error = %v, want one that tells the fix", err)
		}
	})
}

func TestEmptyNamesAreLeftToOthers(t *testing.T) {
	client := fake.NewClientset()
	if err := install.Run(t.Context(), install.Config{Client: client.CoreV1(), Namespace: "lanyard"}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, client); len(got) != 0 {
		t.Errorf("created %d secrets nobody asked for", len(got))
	}
}
