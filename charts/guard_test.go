// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// compile makes the policy into what the API server of Kubernetes 1.minor evaluates. An expression that does not compile is reported with every decision.
func compile(t testing.TB, p *admissionv1.ValidatingAdmissionPolicy, minor uint) validating.Validator {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, minor)))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	var variables []cel.NamedExpressionAccessor
	for _, v := range p.Spec.Variables {
		variables = append(variables, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	compiler.CompileAndStoreVariables(variables, options, environment.NewExpressions)
	var conditions, validations, messages []cel.ExpressionAccessor
	for i := range p.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&p.Spec.MatchConditions[i]))
	}
	for _, v := range p.Spec.Validations {
		validations = append(validations, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		messages = append(messages, nil)
	}
	evaluate := func(e []cel.ExpressionAccessor) cel.ConditionEvaluator {
		return compiler.CompileCondition(e, options, environment.NewExpressions)
	}
	matcher := matchconditions.NewMatcher(evaluate(conditions), p.Spec.FailurePolicy, "policy", "validate", p.Name)
	return validating.NewValidator(evaluate(validations), matcher, evaluate(nil), evaluate(messages), p.Spec.FailurePolicy, nil)
}

// verdict returns the first reason for which the policy refuses the pod, or "" if it lets it pass.
func verdict(t testing.TB, v validating.Validator, pod *corev1.Pod) string {
	t.Helper()
	gvk, gvr := corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithResource("pods")
	attributes := admission.NewAttributesRecord(pod, nil, gvk, "default", "", gvr, "", admission.Create, &metav1.CreateOptions{}, false, nil)
	versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedObject: admission.NewLazyObject(pod), VersionedKind: gvk}
	result := v.Validate(t.Context(), gvr, versioned, nil, &corev1.Namespace{}, celconfig.RuntimeCELCostBudget, nil)
	for _, d := range result.Decisions {
		if d.Evaluation == validating.EvalError {
			t.Fatalf("an expression errs: %s", d.Message)
		}
		if d.Action == validating.ActionDeny {
			return d.Message
		}
	}
	return ""
}

func TestTheGuardRefusesOptedInPodsWithoutTheAgent(t *testing.T) {
	const agent = "ghcr.io/lanyard-dev/lanyard-agent"
	const digest = "@sha256:3333333333333333333333333333333333333333333333333333333333333333"
	const missing, foreign, binary, lacking = "the injector did not handle it", "runs an image that is not Lanyard's agent", "lanyard-bin is an image that is not Lanyard's agent", "lacks what the injector gives"
	inits := func(c ...corev1.Container) *corev1.Pod { return &corev1.Pod{Spec: corev1.PodSpec{InitContainers: c}} }
	named := func(image string) corev1.Container { return corev1.Container{Name: "lanyard-init", Image: image} }
	sidecar := func(image string) corev1.Container { return corev1.Container{Name: "lanyard-sidecar", Image: image} }
	mirror := inits()
	mirror.Annotations = map[string]string{"kubernetes.io/config.mirror": "abc"}
	annotated := inits()
	annotated.Annotations = map[string]string{"lanyard.dev/status": "injected"}

	// fetching is a pod of the delivery direct, before somebody tampers with it.
	fetching := func(changes ...func(*corev1.Pod, *corev1.Container)) *corev1.Pod {
		pod := &corev1.Pod{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "app", Command: []string{"/run/lanyard/bin/lanyard-agent", "direct", "--", "app"}, Env: []corev1.EnvVar{{Name: "LANYARD_REQUEST", Value: "{}"}},
				VolumeMounts: []corev1.VolumeMount{{Name: "lanyard-bin", MountPath: "/run/lanyard/bin", ReadOnly: true}, {Name: "lanyard-token", MountPath: "/run/lanyard/token", ReadOnly: true}},
			}, {Name: "other"}},
			Volumes: []corev1.Volume{{Name: "lanyard-token"}, {Name: "lanyard-bin", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: agent + ":0.1.0"}}}},
		}}
		for _, change := range changes {
			change(pod, &pod.Spec.Containers[0])
		}
		return pod
	}

	guards := map[string]map[string]any{
		"default":  nil,
		"exact":    {"guard": map[string]any{"exactImage": true}},
		"airgap":   caseValues(t, "airgap"),
		"rewriter": {"guard": map[string]any{"allowedImageRepositories": []any{"mirror.example/agent"}}},
	}
	for name, tt := range map[string]struct {
		pod   *corev1.Pod
		guard string
		want  string // part of the message; empty: let pass
	}{
		"a pod without init containers":                       {inits(), "default", missing},
		"a pod that only claims to be injected":               {annotated, "default", missing},
		"a pod with other init containers":                    {inits(corev1.Container{Name: "migrate", Image: agent + ":0.1.0"}), "default", missing},
		"an injected pod":                                     {inits(corev1.Container{Name: "migrate"}, named(agent+":0.1.0")), "default", ""},
		"a pod of the release before, while an upgrade rolls": {inits(named(agent + ":0.0.9")), "default", ""},
		"an injected pod with a sidecar":                      {inits(sidecar(agent + ":0.1.0")), "default", ""},
		"an injected pod with both":                           {inits(named(agent+":0.1.0"), sidecar(agent+":0.1.0")), "default", ""},
		"another image under the sidecar's name":              {inits(sidecar("busybox")), "default", foreign},
		"another image beside the agent":                      {inits(named(agent+":0.1.0"), sidecar("busybox")), "default", foreign},
		"an injected pod with a digest":                       {inits(named(agent + digest)), "default", ""},
		"another image under the agent's name":                {inits(named("busybox")), "default", foreign},
		"no image under the agent's name":                     {inits(named("")), "default", foreign},
		"a repository that only begins like ours":             {inits(named(agent + "-evil:0.1.0")), "default", foreign},
		"a container without a name":                          {inits(corev1.Container{Image: agent + ":0.1.0"}), "default", missing},
		"a mirror pod, which runs already":                    {mirror, "default", ""},
		"the exact image":                                     {inits(named(agent + ":0.1.0")), "exact", ""},
		"another tag, where the exact image is demanded":      {inits(named(agent + ":0.0.9")), "exact", foreign},
		"the mirror's image":                                  {inits(named("mirror.internal:5000/ghcr/lanyard-dev/lanyard-agent" + digest)), "airgap", ""},
		"our own repository, where a mirror is demanded":      {inits(named(agent + digest)), "airgap", foreign},
		"an image rewritten to an allowed mirror":             {inits(named("mirror.example/agent:0.1.0")), "rewriter", ""},

		"a pod that fetches for itself":       {fetching(), "default", ""},
		"one with the exact image":            {fetching(), "exact", ""},
		"one with init containers of its own": {fetching(func(p *corev1.Pod, _ *corev1.Container) { p.Spec.InitContainers = []corev1.Container{{Name: "setup"}} }), "default", ""},
		"one whose init container fetches": {fetching(func(p *corev1.Pod, c *corev1.Container) {
			p.Spec.InitContainers, p.Spec.Containers = []corev1.Container{*c}, []corev1.Container{{Name: "app"}}
		}), "default", ""},
		"one that has the init agent for other containers": {fetching(func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.InitContainers = []corev1.Container{named(agent + ":0.1.0")}
		}), "default", ""},
		"a binary from another image":                                  {fetching(func(p *corev1.Pod, _ *corev1.Container) { p.Spec.Volumes[1].Image.Reference = "busybox" }), "default", binary},
		"a binary from no image in particular":                         {fetching(func(p *corev1.Pod, _ *corev1.Container) { p.Spec.Volumes[1].Image.Reference = "" }), "default", binary},
		"another tag of the binary, where the exact image is demanded": {fetching(func(p *corev1.Pod, _ *corev1.Container) { p.Spec.Volumes[1].Image.Reference = agent + ":0.0.9" }), "exact", binary},
		"a binary from a directory": {fetching(func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.Volumes[1].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}), "default", lacking},
		"no binary":                  {fetching(func(p *corev1.Pod, c *corev1.Container) { p.Spec.Volumes, c.VolumeMounts = nil, nil }), "default", lacking},
		"a binary of another volume": {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.VolumeMounts[0].Name = "mine" }), "default", lacking},
		"a part of the image":        {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.VolumeMounts[0].SubPath = "x" }), "default", lacking},
		"no token":                   {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.VolumeMounts = c.VolumeMounts[:1] }), "default", lacking},
		"no request":                 {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.Env = nil }), "default", lacking},
		"a request that comes from elsewhere": {fetching(func(_ *corev1.Pod, c *corev1.Container) {
			c.Env[0] = corev1.EnvVar{Name: "LANYARD_REQUEST", ValueFrom: &corev1.EnvVarSource{}}
		}), "default", lacking},
		"a wrapper without a command":     {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.Command = c.Command[:3] }), "default", missing},
		"a wrapper of the delivery exec":  {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.Command[1] = "exec" }), "default", missing},
		"the agent's name in other words": {fetching(func(_ *corev1.Pod, c *corev1.Container) { c.Command[0] = "/run/lanyard/bin/../bin/lanyard-agent" }), "default", missing},
	} {
		t.Run(name, func(t *testing.T) {
			p := find[*admissionv1.ValidatingAdmissionPolicy](t, mustRender(t, guards[tt.guard]), "lanyard-guard")
			// The oldest Kubernetes the chart installs on, and a new one.
			for _, minor := range []uint{30, 37} {
				got := verdict(t, compile(t, p, minor), tt.pod)
				if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
					t.Errorf("Kubernetes 1.%d says %q, want %q", minor, got, tt.want)
				}
			}
		})
	}
}

func TestTheGuardDeniesAndDoesNotOnlyWarn(t *testing.T) {
	b := find[*admissionv1.ValidatingAdmissionPolicyBinding](t, mustRender(t, nil), "lanyard-guard")
	if b.Spec.PolicyName != "lanyard-guard" || len(b.Spec.ValidationActions) != 1 || b.Spec.ValidationActions[0] != admissionv1.Deny {
		t.Errorf("the binding is %+v", b.Spec)
	}
}
