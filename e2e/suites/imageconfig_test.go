// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestImageConfig has the command of containers looked up in a private image, which the node then pulls with the same image pull secret.
func TestImageConfig(t *testing.T) {
	w, closed := newWorld(t), newWorld(t)
	r := startImageRegistry(t)
	w.must(lanyard.Cluster.TrustRegistry(r.host, r.authority))
	const authority = "image-registry-ca"
	secrets := lanyard.Client.CoreV1().Secrets(installation.Namespace)
	if err := secrets.Delete(w.ctx, authority, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	_, err := secrets.Create(w.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: authority}, Data: map[string][]byte{"ca.crt": r.authority}}, metav1.CreateOptions{})
	w.must(err)
	w.must(lanyard.Upgrade(w.ctx, "injector.imageConfig.registries[0]="+r.host, "injector.imageConfig.caSecret="+authority, "injector.imageConfig.pullSecretNamespaces[0]="+w.namespace))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		if err := lanyard.Upgrade(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, x := range []*world{w, closed} {
		x.put("key", odd["QUOTE"])
		x.pullSecret("right", r, r.password)
		x.pullSecret("wrong", r, r.password+"-mistyped")
	}
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	// lookup is a pod of the private image, without a command.
	lookup := func(x *world, name, consumer, delivery, secret string) *corev1.Pod {
		pod := x.pod(name, consumer)
		pod.Annotations["lanyard.dev/delivery"], pod.Annotations["lanyard.dev/image-config"] = delivery, "lookup"
		pod.Spec.Containers[0].Image, pod.Spec.ImagePullSecrets = r.image, []corev1.LocalObjectReference{{Name: secret}}
		return pod
	}
	refused := func(x *world, pod *corev1.Pod, options metav1.CreateOptions, reason, part string) {
		t.Helper()
		x.must(eventually(x.ctx, func() error { // the consumer's names have to arrive first
			_, err := lanyard.Client.CoreV1().Pods(x.namespace).Create(x.ctx, pod, options)
			switch {
			case err == nil:
				t.Fatalf("pod %s was let in", pod.Name)
			case strings.Contains(err.Error(), "not_bound"), apierrors.IsInternalError(err):
				return err
			case !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "canary"):
				t.Errorf("pod %s: %v, want %s with %q", pod.Name, err, reason, part)
			}
			return nil
		}))
	}

	for _, delivery := range []string{"exec", "direct"} {
		w.create(lookup(w, delivery, consumer, delivery, "right"))
		running := w.running(delivery)
		c := running.Spec.Containers[0]
		if want := []string{"/run/lanyard/bin/lanyard-agent", delivery, "--", "/probe"}; !slices.Equal(c.Command, want) || !strings.HasPrefix(c.Image, r.image+"@sha256:") {
			t.Errorf("%s: the command is %q of image %s, want %q", delivery, c.Command, c.Image, want)
		}
		w.expectEnv(delivery, "app", map[string]string{"KEY": odd["QUOTE"]})
		w.delete(delivery)
	}
	refused(w, lookup(w, "wrong", consumer, "exec", "wrong"), metav1.CreateOptions{}, "image_config_denied", "neither to everybody nor to the pod's image pull secrets")
	refused(w, lookup(w, "dry", consumer, "exec", "right"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}, "image_config_dry_run", "was not looked up")
	elsewhere := lookup(w, "elsewhere", consumer, "exec", "right")
	elsewhere.Spec.Containers[0].Image = "registry.example/probe:1"
	refused(w, elsewhere, metav1.CreateOptions{}, "image_registry_not_allowed", "registry.example")
	refused(closed, lookup(closed, "closed", closed.consumer("app", map[string]string{"KEY": "key"}), "exec", "right"), metav1.CreateOptions{}, "image_config_denied", "pullSecretNamespaces")
	logs, err := lanyard.Cluster.Kubectl(w.ctx, "logs", "-n", installation.Namespace, "-l", "app.kubernetes.io/component=injector", "--tail=-1", "--ignore-errors").CombinedOutput() // the errors are of replicas that are going
	w.must(err)
	if !strings.Contains(string(logs), "image_config_denied") || strings.Contains(string(logs), "canary") {
		t.Error("the injector's log does not tell of the refusal, or tells the password")
	}
}

// pullSecret makes an image pull secret.
func (w *world) pullSecret(name string, r *imageRegistry, password string) {
	w.t.Helper()
	text, err := json.Marshal(map[string]any{"auths": map[string]any{r.host: map[string]string{"username": r.user, "password": password}}})
	w.must(err)
	_, err = lanyard.Client.CoreV1().Secrets(w.namespace).Create(w.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: text},
	}, metav1.CreateOptions{})
	w.must(err)
}
