// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// checkPod compares the principal with its pod as it is now. The read is never shared or cached: it is what makes a deletion take effect at once, while
// TokenReview may accept the pod's token for another minute.
func (a *Authenticator) checkPod(ctx context.Context, p Principal) error {
	var pod *corev1.Pod
	err := a.ask(ctx, func(ctx context.Context) (err error) {
		pod, err = a.config.API.Pod(ctx, p.Namespace, p.Pod)
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return reject(PodGone)
	case err != nil:
		return unavailable(PodUnavailable, err)
	case string(pod.UID) != p.PodUID:
		return reject(PodReplaced)
	case pod.Spec.ServiceAccountName != p.ServiceAccount:
		return reject(PodServiceAccount)
	case pod.Spec.NodeName != p.Node:
		return reject(PodNode)
	case pod.DeletionTimestamp != nil:
		return refuse(wire.CodePodNotEligible, PodTerminating, nil)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return refuse(wire.CodePodNotEligible, PodFinished, nil)
	}
	return nil
}
