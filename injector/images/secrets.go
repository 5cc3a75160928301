// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxSecrets bounds the image pull secrets of one pod. They are read one after the other.
const maxSecrets = 16

// pullSecrets reads what the image pull secrets of a pod say, when it is first called.
type pullSecrets func(context.Context) (keyring, *Error)

// pullSecrets returns how those of one pod are read. A Secret that does not exist, or is none for images, is passed over, as the kubelet does.
func (c *Client) pullSecrets(r Request) pullSecrets {
	var once sync.Once
	var ring keyring
	var why *Error
	return func(ctx context.Context) (keyring, *Error) {
		once.Do(func() { ring, why = c.readSecrets(ctx, r) })
		return ring, why
	}
}

func (c *Client) readSecrets(ctx context.Context, r Request) (keyring, *Error) {
	if len(r.PullSecrets) > maxSecrets {
		return nil, refused(Denied, "the pod has more than %d image pull secrets", maxSecrets)
	}
	var ring keyring
	for _, name := range r.PullSecrets {
		secret, err := c.cfg.Secrets.Secret(ctx, r.Namespace, name)
		switch {
		case err == nil:
			ring.add(secret)
		case apierrors.IsNotFound(err):
		case apierrors.IsForbidden(err):
			return nil, refused(Denied, "the injector may not read the image pull secret %.253s of namespace %s; the chart's injector.imageConfig.pullSecretNamespaces does not have the namespace", name, r.Namespace)
		default:
			return nil, refused(Unavailable, "the image pull secret %.253s of namespace %s could not be read in time", name, r.Namespace)
		}
	}
	return ring, nil
}
