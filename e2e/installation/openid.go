// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lanyard-dev/lanyard/e2e/internal/pki"
)

// The OpenID provider, and the names both ends must agree on.
const (
	openidNamespace = "lanyard-openid"
	openidName      = "openid"
	openidHost      = openidName + "." + openidNamespace + ".svc"
	openidPort      = 8443
	// openidSecret is in both namespaces: what the provider has, and what its client, the registry, has.
	openidSecret = "lanyard-openid"
	clientID     = "lanyard"
	// registryHost is the registry's Service, by which this machine and the browsers of people know it.
	registryHost = Release + "-registry." + Namespace + ".svc"
	publicURL    = "https://" + registryHost
)

// startOpenID runs an OpenID provider for people in the cluster and returns the values with which the chart uses it. It does not wait for the provider: the registry
// asks for it until it answers.
func (i *Installation) startOpenID(ctx context.Context, people []string) (values []string, err error) {
	for _, namespace := range []string{openidNamespace, Namespace} {
		if err := i.Namespace(ctx, namespace); err != nil {
			return nil, err
		}
	}
	i.password = rand.Text()
	provider, client, err := openidFiles(i.password)
	if err != nil {
		return nil, err
	}
	i.openidCA = client["ca.crt"]
	for namespace, data := range map[string]map[string][]byte{openidNamespace: provider, Namespace: client} {
		if err := i.replaceSecret(ctx, namespace, openidSecret, data); err != nil {
			return nil, err
		}
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: openidNamespace, Name: openidName},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": openidName}, Ports: []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromInt32(openidPort)}}},
	}
	if _, err := i.Client.CoreV1().Services(openidNamespace).Create(ctx, service, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("creating the Service of the OpenID provider: %w", err)
	}
	if err := i.Delete(ctx, openidNamespace, openidName); err != nil {
		return nil, err
	}
	if _, err := i.Create(ctx, i.openidPod(people)); err != nil {
		return nil, fmt.Errorf("creating the pod of the OpenID provider: %w", err)
	}
	return []string{
		"registry.publicURL=" + publicURL, "oidc.issuer=https://" + openidHost, "oidc.clientID=" + clientID, "oidc.existingSecret=" + openidSecret, "oidc.privateCA=true",
	}, nil
}

func (i *Installation) openidPod(people []string) *corev1.Pod {
	const files = "/files"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: openidNamespace, Name: openidName, Labels: map[string]string{"app": openidName}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)),
			AutomountServiceAccountToken:  new(false),
			Containers: []corev1.Container{{
				Name: openidName, Image: imageReference(openidName), ImagePullPolicy: corev1.PullIfNotPresent,
				Args: append([]string{
					fmt.Sprintf("-listen=:%d", openidPort), "-issuer=https://" + openidHost, "-redirect=" + publicURL + "/auth/callback", "-dir=" + files,
				}, people...),
				VolumeMounts: []corev1.VolumeMount{{Name: "files", MountPath: files, ReadOnly: true}},
			}},
			Volumes: []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: openidSecret}}}},
		},
	}
}

// openidFiles returns the data of two Secrets: the provider's, and its client's.
func openidFiles(password string) (provider, client map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "lanyard-openid-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	authority, err := pki.New(dir)
	if err != nil {
		return nil, nil, err
	}
	serving, err := authority.Server("server", []string{openidHost})
	if err != nil {
		return nil, nil, err
	}
	if provider, err = secretData(authority.CA(), serving); err != nil {
		return nil, nil, err
	}
	secret := []byte(rand.Text())
	provider["client-secret"], provider["password"] = secret, []byte(password)
	return provider, map[string][]byte{"ca.crt": provider["ca.crt"], "client-secret": secret}, nil
}
