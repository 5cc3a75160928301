// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/lanyard-dev/lanyard/injector/images"
	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// looker looks images up.
type looker interface {
	Look(ctx context.Context, r images.Request) map[string]images.Answer
}

// refusals are the reasons for what can go wrong with a lookup.
var refusals = map[images.Kind]mutate.Reason{ // :: kind → reason
	images.NotAllowed:  mutate.ReasonImageRegistryNotAllowed,
	images.Denied:      mutate.ReasonImageConfigDenied,
	images.Unavailable: mutate.ReasonImageConfigUnavailable,
	images.Ambiguous:   mutate.ReasonImageConfigAmbiguous,
}

// look finds out what the plan of a pod in namespace needs to know.
func look(ctx context.Context, by looker, namespace string, lookup *mutate.Lookup) mutate.Images {
	answers := by.Look(ctx, images.Request{Namespace: namespace, PullSecrets: lookup.PullSecrets, Architectures: lookup.Architectures, Images: lookup.Images})
	known := make(mutate.Images, len(answers))
	for image, answer := range answers {
		if err := answer.Err; err != nil {
			known[image] = mutate.Image{Reason: refusals[err.Kind], Detail: err.Text}
			continue
		}
		known[image] = mutate.Image{Reference: answer.Reference, Entrypoint: answer.Entrypoint, Cmd: answer.Cmd}
	}
	return known
}

// unlooked is what is known where the operator named no registry.
func unlooked(lookup *mutate.Lookup) mutate.Images {
	known := make(mutate.Images, len(lookup.Images))
	for _, image := range lookup.Images {
		known[image] = mutate.Image{Reason: mutate.ReasonImageRegistryNotAllowed, Detail: "this installation looks no images up"}
	}
	return known
}

// pullSecrets reads the image pull secrets of pods, in the namespaces where the operator lets it.
type pullSecrets struct{ core.SecretsGetter }

func (s pullSecrets) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	secret, err := s.Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading an image pull secret: %w", err)
	}
	return secret, nil
}
