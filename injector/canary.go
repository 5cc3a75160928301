// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	core "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/lanyard-dev/lanyard/pkg/podspec"
)

// gates say what the API server does not take although its version could, and why; empty where it takes it. An operator can turn a feature off, which no version tells.
type gates struct{ envFiles, imageVolumes, restarts string }

// tryGates has the API server make pod templates in a dry run, in which nothing is made, with what deliveries consist of. Templates are checked as pods are, but, unlike
// pods, whoever may create one has no other right by it: a pod in the injector's namespace could mount the registry's key.
func tryGates(ctx context.Context, client core.PodTemplateInterface) (gates, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var g gates
	for _, canary := range canaries {
		why, err := canary.try(ctx, client)
		if err != nil {
			return gates{}, err
		}
		*canary.of(&g) = why
	}
	return g, nil
}

// A canary is a field of a pod that a feature gate governs.
type canary struct {
	gate, field string
	of          func(*gates) *string
	set         func(*corev1.PodSpec)
	kept        func(*corev1.PodSpec) bool
}

var canaries = []canary{
	{"EnvFiles", "fileKeyRef", func(g *gates) *string { return &g.envFiles },
		func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: podspec.VolumeEnv, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			s.Containers[0].Env = []corev1.EnvVar{{Name: podspec.EnvProof, ValueFrom: &corev1.EnvVarSource{
				FileKeyRef: &corev1.FileKeySelector{VolumeName: podspec.VolumeEnv, Path: podspec.ProofFile, Key: podspec.EnvProof},
			}}}
		},
		func(s *corev1.PodSpec) bool {
			env := s.Containers[0].Env
			return len(env) == 1 && env[0].ValueFrom != nil && env[0].ValueFrom.FileKeyRef != nil
		}},
	{"ImageVolume", "image", func(g *gates) *string { return &g.imageVolumes },
		func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: podspec.VolumeBin, VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "canary.invalid/canary"}}}}
		},
		func(s *corev1.PodSpec) bool { return len(s.Volumes) == 1 && s.Volumes[0].Image != nil }},
	{"RestartAllContainersOnContainerExits", "restartPolicyRules", func(g *gates) *string { return &g.restarts },
		func(s *corev1.PodSpec) {
			never := corev1.ContainerRestartPolicyNever
			s.Containers[0].RestartPolicy = &never
			s.Containers[0].RestartPolicyRules = []corev1.ContainerRestartRule{{
				Action: corev1.ContainerRestartRuleActionRestartAllContainers,
				ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{
					Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{podspec.ExitRestart},
				},
			}}
		},
		func(s *corev1.PodSpec) bool { return len(s.Containers[0].RestartPolicyRules) == 1 }},
}

// try returns why the API server does not take the field. An error says that this is not known.
func (c canary) try(ctx context.Context, client core.PodTemplateInterface) (why string, err error) {
	template := &corev1.PodTemplate{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "lanyard-canary-"},
		Template:   corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "canary", Image: "canary.invalid/canary"}}}},
	}
	template.Template.Labels = map[string]string{"app.kubernetes.io/name": "canary"}
	c.set(&template.Template.Spec)
	off := fmt.Sprintf("the API server does not take %s: its feature gate %s is off", c.field, c.gate)
	made, err := client.Create(ctx, template, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil && len(made.Template.Spec.Containers) == 1 && c.kept(&made.Template.Spec):
		return "", nil
	case err == nil, c.blamed(err):
		return off, nil
	}
	return "", fmt.Errorf("trying %s in a dry run: %w", c.field, err)
}

// blamed reports whether the API server refused the template for its field: others may refuse it for other reasons.
func (c canary) blamed(err error) bool {
	if status, ok := err.(apierrors.APIStatus); ok && apierrors.IsInvalid(err) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			if strings.Contains(cause.Field, c.field) || strings.HasSuffix(cause.Field, "].valueFrom") || strings.HasSuffix(cause.Field, "volumes[0]") {
				return true
			}
		}
	}
	return false
}
