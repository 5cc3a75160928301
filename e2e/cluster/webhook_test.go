// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// webhook registers a validating webhook at the Service of a pod that speaks
// plain HTTP. The API server must therefore refuse config maps with an error of
// the TLS handshake: one about names, routes or time would mean that it did not
// reach the pod.
func (f *fixture) webhook(t *testing.T) {
	fail, none, path, port := admissionv1.Fail, admissionv1.SideEffectClassNone, "/", int32(80)
	webhooks := f.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := webhooks.Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "smoke"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "smoke.lanyard.dev", FailurePolicy: &fail, SideEffects: &none,
			AdmissionReviewVersions: []string{"v1"},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{"smoke": "webhook"}},
			ClientConfig: admissionv1.WebhookClientConfig{
				Service: &admissionv1.ServiceReference{Namespace: "default", Name: "server", Path: &path, Port: &port},
			},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = webhooks.Delete(contextForCleanup(), "smoke", metav1.DeleteOptions{}) })
	eventually(t, func() error {
		// The API server learns of a webhook a moment later; until then the name is taken.
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "smoke-", Labels: map[string]string{"smoke": "webhook"}}}
		_, err := f.client.CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{})
		if err == nil {
			return errNotCalled
		}
		if !strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
			return err
		}
		return nil
	})
}

const errNotCalled = constantError("the webhook is not called yet")

type constantError string

func (e constantError) Error() string { return string(e) }
