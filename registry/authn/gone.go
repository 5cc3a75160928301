// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// PodGone reports whether the pod with a uid does not run and never will again: there is no pod of its name, or another one, or all its containers have finished for good. It returns an
// error if the API server did not say so; then the pod may be there.
func (a *Authenticator) PodGone(ctx context.Context, namespace, name, uid string) (bool, error) {
	var pod *corev1.Pod
	err := a.ask(ctx, func(ctx context.Context) (err error) {
		pod, err = a.config.API.Pod(ctx, namespace, name)
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("looking for pod: %w", err)
	case pod == nil || pod.UID == "" || pod.Name != name || pod.Namespace != namespace: // this is no answer to the question
		return false, fmt.Errorf("looking for pod %s/%s: another object came back", namespace, name)
	}
	return string(pod.UID) != uid || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed, nil
}
