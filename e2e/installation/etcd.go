// SPDX-License-Identifier: Apache-2.0

package installation

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/internal/pki"
)

// etcdNamespace, etcdName and etcdHost are those of the etcd that [Installation.StartEtcd] runs.
const (
	etcdNamespace = "lanyard-etcd"
	etcdName      = "etcd"
	etcdHost      = etcdName + "." + etcdNamespace + ".svc"
)

// StartEtcd runs an etcd in the cluster that demands client certificates, and returns the values with which the chart uses it. It is empty: what the registry keeps
// elsewhere is not there. What it holds ends with its pod.
func (i *Installation) StartEtcd(ctx context.Context) (values []string, err error) {
	if err := i.loadImage(ctx, "e2e/cluster/etcd"); err != nil {
		return nil, err
	}
	if err := i.Namespace(ctx, etcdNamespace); err != nil {
		return nil, err
	}
	server, client, err := etcdCertificates()
	if err != nil {
		return nil, err
	}
	for namespace, data := range map[string]map[string][]byte{etcdNamespace: server, Namespace: client} {
		if err := i.replaceSecret(ctx, namespace, etcdNamespace, data); err != nil {
			return nil, err
		}
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: etcdNamespace, Name: etcdName},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": etcdName}, Ports: []corev1.ServicePort{{Port: 2379}}},
	}
	if _, err := i.Client.CoreV1().Services(etcdNamespace).Create(ctx, service, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("creating the Service of etcd: %w", err)
	}
	if err := i.Delete(ctx, etcdNamespace, etcdName); err != nil {
		return nil, err
	}
	if _, err := i.Create(ctx, i.etcdPod()); err != nil {
		return nil, fmt.Errorf("creating the pod of etcd: %w", err)
	}
	if _, err := i.Running(ctx, etcdNamespace, etcdName); err != nil {
		return nil, err
	}
	return []string{"etcd.external.endpoints[0]=https://" + etcdHost + ":2379", "etcd.external.existingSecret=" + etcdNamespace}, nil
}

func (i *Installation) etcdPod() *corev1.Pod {
	const data, certificates = "/data", "/certificates"
	client, peer := "https://0.0.0.0:2379", "http://127.0.0.1:2380"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: etcdNamespace, Name: etcdName, Labels: map[string]string{"app": etcdName}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)),
			SecurityContext:               &corev1.PodSecurityContext{FSGroup: new(int64(65532))},
			Containers: []corev1.Container{{
				Name: etcdName, Image: imageReference("etcd"), ImagePullPolicy: corev1.PullIfNotPresent,
				Args: []string{
					"--name=one", "--data-dir=" + data + "/etcd", "--log-level=warn",
					"--listen-client-urls=" + client, "--advertise-client-urls=https://" + etcdHost + ":2379",
					"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=one=" + peer,
					"--client-cert-auth", "--trusted-ca-file=" + certificates + "/ca.crt", "--cert-file=" + certificates + "/tls.crt", "--key-file=" + certificates + "/tls.key",
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: data}, {Name: "certificates", MountPath: certificates, ReadOnly: true}},
			}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "certificates", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: etcdNamespace}}},
			},
		},
	}
}

// etcdCertificates returns the data of two Secrets, of an authority nobody else has.
func etcdCertificates() (server, client map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "lanyard-etcd-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	authority, err := pki.New(dir)
	if err != nil {
		return nil, nil, err
	}
	serving, err := authority.Server("server", []string{etcdHost})
	if err != nil {
		return nil, nil, err
	}
	calling, err := authority.Client("client", "lanyard-registry")
	if err != nil {
		return nil, nil, err
	}
	if server, err = secretData(authority.CA(), serving); err != nil {
		return nil, nil, err
	}
	client, err = secretData(authority.CA(), calling)
	return server, client, err
}

// replaceSecret makes a Secret with the data, in place of one of its name.
func (i *Installation) replaceSecret(ctx context.Context, namespace, name string, data map[string][]byte) error {
	secrets := i.Client.CoreV1().Secrets(namespace)
	if err := secrets.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("replacing the Secret %s/%s: %w", namespace, name, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
	if _, err := secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the Secret %s/%s: %w", namespace, name, err)
	}
	return nil
}

func secretData(authority, pair pki.Pair) (map[string][]byte, error) {
	data := make(map[string][]byte, 3)
	for key, file := range map[string]string{"ca.crt": authority.Cert, "tls.crt": pair.Cert, "tls.key": pair.Key} {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		data[key] = content
	}
	return data, nil
}
