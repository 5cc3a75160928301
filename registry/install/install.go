// SPDX-License-Identifier: Apache-2.0

// Package install creates, once, what an installation must have before its first pod starts and what must never be made twice: the key ring, the bootstrap
// token and the certificate authority of the workload listener.
//
// It runs as a hook Job of the chart. Nothing of it stands in a template, because whoever renders a template again would make a new key and lose every
// secret. Each object is created if it is absent and never changed if it is present.
package install

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/lanyard-dev/lanyard/internal/pki"
	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// Keys within the objects that are created.
const (
	KeyPrimary  = "primary" // of the key ring: names the entry that seals new records
	KeyFirst    = "kek-1"
	KeyToken    = "token"
	KeyCABundle = "ca.crt"
)

// Config names the objects. An empty name leaves that object to somebody else, who must have created it.
type Config struct {
	Client          corev1client.CoreV1Interface
	Namespace       string
	Labels          map[string]string // put on everything that is created
	KeySecret       string
	BootstrapSecret string
	// CASecret holds the authority (tls.crt, tls.key); CAConfigMap its certificate (ca.crt), which the injector hands to pods.
	CASecret    string
	CAConfigMap string
	// InjectorSecret is created empty: the injector keeps its own authority there and may only update it.
	InjectorSecret string
	Out            io.Writer // one line for each object
}

// Run creates what is absent. It stops at the first error; running it again goes on.
func Run(ctx context.Context, cfg Config) error {
	r := run{Config: cfg}
	if cfg.KeySecret != "" {
		if err := r.secret(ctx, cfg.KeySecret, keyRing); err != nil {
			return err
		}
	}
	if cfg.BootstrapSecret != "" {
		if err := r.secret(ctx, cfg.BootstrapSecret, bootstrapToken); err != nil {
			return err
		}
	}
	if cfg.CASecret != "" {
		if err := r.secret(ctx, cfg.CASecret, authority); err != nil {
			return err
		}
		if err := r.caBundle(ctx); err != nil {
			return err
		}
	}
	if cfg.InjectorSecret != "" {
		return r.secret(ctx, cfg.InjectorSecret, func() (map[string][]byte, error) { return nil, nil })
	}
	return nil
}

type run struct{ Config }

// secret creates the Secret if it is absent. Content is made only then, so that a key which is not stored never existed.
func (r run) secret(ctx context.Context, name string, content func() (map[string][]byte, error)) error {
	secrets := r.Client.Secrets(r.Namespace)
	_, err := secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
		return r.tell("secret", name, "kept as it is")
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("looking for secret %s/%s: %w", r.Namespace, name, err)
	}
	data, err := content()
	if err != nil {
		return fmt.Errorf("making secret %s/%s: %w", r.Namespace, name, err)
	}
	_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: r.meta(name), Type: corev1.SecretTypeOpaque, Data: data}, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return r.tell("secret", name, "kept as it is")
	case err != nil:
		return fmt.Errorf("creating secret %s/%s: %w", r.Namespace, name, err)
	}
	return r.tell("secret", name, "created")
}

// caBundle publishes the certificate of the authority that is in the Secret now, which may be older than this run.
func (r run) caBundle(ctx context.Context) error {
	secret, err := r.Client.Secrets(r.Namespace).Get(ctx, r.CASecret, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading secret %s/%s: %w", r.Namespace, r.CASecret, err)
	}
	ca, err := pki.ParseCA(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("secret %s/%s: %w; delete it to have a new one made", r.Namespace, r.CASecret, err)
	}
	bundle := string(ca.CertPEM())
	maps := r.Client.ConfigMaps(r.Namespace)
	_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: r.meta(r.CAConfigMap), Data: map[string]string{KeyCABundle: bundle}}, metav1.CreateOptions{})
	if err == nil {
		return r.tell("configmap", r.CAConfigMap, "created")
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating configmap %s/%s: %w", r.Namespace, r.CAConfigMap, err)
	}
	current, err := maps.Get(ctx, r.CAConfigMap, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading configmap %s/%s: %w", r.Namespace, r.CAConfigMap, err)
	}
	if current.Data[KeyCABundle] != bundle {
		return fmt.Errorf("configmap %s/%s does not hold the certificate of secret %s: delete the configmap to have it made from the secret",
			r.Namespace, r.CAConfigMap, r.CASecret)
	}
	return r.tell("configmap", r.CAConfigMap, "kept as it is")
}

func (r run) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: r.Namespace, Labels: r.Labels}
}

func (r run) tell(kind, name, what string) error {
	if r.Out == nil {
		return nil
	}
	_, err := fmt.Fprintf(r.Out, "%s %s/%s: %s\n", kind, r.Namespace, name, what)
	return err
}

func keyRing() (map[string][]byte, error) {
	return map[string][]byte{KeyPrimary: []byte(KeyFirst), KeyFirst: envelope.NewKey()}, nil
}

func bootstrapToken() (map[string][]byte, error) {
	return map[string][]byte{KeyToken: []byte(NewBootstrapToken())}, nil
}

// NewBootstrapToken draws a token of 256 random bits in the form the administrators' API accepts.
func NewBootstrapToken() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails since Go 1.24
	return "lyd_boot_" + base64.RawURLEncoding.EncodeToString(random)
}

func authority() (map[string][]byte, error) {
	ca, err := pki.NewCA(pki.Options{CommonName: "lanyard registry"}, time.Now())
	if err != nil {
		return nil, err
	}
	key, err := ca.KeyPEM()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{corev1.TLSCertKey: ca.CertPEM(), corev1.TLSPrivateKeyKey: key}, nil
}
