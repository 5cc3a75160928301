// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// podTemplates returns the pod templates of r by the document they are in.
func podTemplates(t testing.TB, r rendering) map[string]corev1.PodTemplateSpec {
	t.Helper()
	templates := map[string]corev1.PodTemplateSpec{}
	for _, d := range r.documents {
		switch o := d.object(t).(type) {
		case *appsv1.StatefulSet:
			templates[d.String()] = o.Spec.Template
		case *appsv1.Deployment:
			templates[d.String()] = o.Spec.Template
		case *batchv1.Job:
			templates[d.String()] = o.Spec.Template
		}
	}
	if len(templates) != 3 {
		t.Fatalf("%d pod templates, want those of registry, injector and init", len(templates))
	}
	return templates
}

func TestEveryPodIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	eachCase(t, func(t *testing.T, r rendering) {
		for name, template := range podTemplates(t, r) {
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec))
			if !result.Allowed {
				t.Errorf("%s: %s", name, result.ForbiddenDetail())
			}
		}
	})
}

func TestEveryContainerIsBounded(t *testing.T) {
	eachCase(t, func(t *testing.T, r rendering) {
		for name, template := range podTemplates(t, r) {
			for _, c := range template.Spec.Containers {
				if !*c.SecurityContext.ReadOnlyRootFilesystem {
					t.Errorf("%s: the root file system is writable", name)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: requests or the memory limit are missing", name)
				}
				if !c.Resources.Limits.Cpu().IsZero() {
					t.Errorf("%s: a CPU limit throttles bursts of starts", name)
				}
				for _, m := range c.VolumeMounts {
					if m.SubPath != "" {
						t.Errorf("%s: %s is mounted by subPath and would never be updated", name, m.Name)
					}
				}
			}
		}
	})
}

func TestTokensAreAskedForByNameAndAudience(t *testing.T) {
	want := map[string][]string{"registry": {"", "/var/run/secrets/kubernetes.io/serviceaccount"}, "init": {"", "/var/run/secrets/kubernetes.io/serviceaccount"},
		"injector": {"", "/var/run/secrets/kubernetes.io/serviceaccount", "lanyard", "/var/run/secrets/lanyard"}}
	eachCase(t, func(t *testing.T, r rendering) {
		for name, template := range podTemplates(t, r) {
			if auto := template.Spec.AutomountServiceAccountToken; auto == nil || *auto {
				t.Errorf("%s: a token is mounted automatically", name)
			}
			c := template.Spec.Containers[0]
			var got []string
			for _, v := range template.Spec.Volumes {
				if v.Projected == nil {
					continue
				}
				at := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
				for _, s := range v.Projected.Sources {
					if s.ServiceAccountToken != nil {
						got = append(got, s.ServiceAccountToken.Audience, c.VolumeMounts[at].MountPath)
					}
				}
			}
			want := want[c.Name]
			if strings.Contains(strings.Join(c.Args, " "), "--provider-trusted-address=") { // only then is there anybody to show it to
				want = append(slices.Clone(want), "vault", "/var/run/secrets/lanyard/provider")
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: tokens are %q, want %q", name, got, want)
			}
		}
		for _, d := range r.documents {
			if sa, ok := d.object(t).(*corev1.ServiceAccount); ok && (sa.AutomountServiceAccountToken == nil || *sa.AutomountServiceAccountToken) {
				t.Errorf("%s: tokens are mounted automatically", d)
			}
		}
	})
}

// The golden file is the whole of what the chart may do in a cluster. A line more is a decision, not a detail.
func TestRightsAreThoseOfTheAllowList(t *testing.T) {
	var b strings.Builder
	for _, name := range caseNames(t) {
		fmt.Fprintf(&b, "# %s\n", name)
		var lines []string
		for _, d := range mustRender(t, caseValues(t, name)).documents {
			switch o := d.object(t).(type) {
			case *rbacv1.ClusterRole:
				lines = append(lines, rights(d.String(), o.Rules)...)
			case *rbacv1.Role:
				lines = append(lines, rights(d.String()+elsewhere(o.Namespace), o.Rules)...)
			case *rbacv1.ClusterRoleBinding:
				lines = append(lines, grant(d.String(), o.RoleRef, o.Subjects))
			case *rbacv1.RoleBinding:
				lines = append(lines, grant(d.String()+elsewhere(o.Namespace), o.RoleRef, o.Subjects))
			}
		}
		slices.Sort(lines)
		fmt.Fprintf(&b, "%s\n\n", strings.Join(lines, "\n"))
	}
	golden(t, "rbac.golden.txt", b.String())
}

// elsewhere tells of a namespace that is not the release's.
func elsewhere(namespace string) string {
	if namespace == testNamespace {
		return ""
	}
	return " in " + namespace
}

func rights(role string, rules []rbacv1.PolicyRule) []string {
	var lines []string
	for _, rule := range rules {
		for _, s := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			if s == "*" {
				lines = append(lines, role+": EVERYTHING")
			}
		}
		names := "any name"
		if len(rule.ResourceNames) > 0 {
			names = strings.Join(slices.Sorted(slices.Values(rule.ResourceNames)), " ")
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				if group != "" {
					resource += "." + group
				}
				lines = append(lines, fmt.Sprintf("%s: %s %s (%s)", role, strings.Join(slices.Sorted(slices.Values(rule.Verbs)), ","), resource, names))
			}
		}
	}
	return lines
}

func grant(binding string, role rbacv1.RoleRef, subjects []rbacv1.Subject) string {
	var to []string
	for _, s := range subjects {
		to = append(to, fmt.Sprintf("%s %s/%s", s.Kind, s.Namespace, s.Name))
	}
	return fmt.Sprintf("%s: %s/%s to %s", binding, role.Kind, role.Name, strings.Join(to, ", "))
}

func TestTheInjectorMayReachTheImageRegistriesOnTheirPorts(t *testing.T) {
	for name, tt := range map[string]struct {
		registries string
		want       []int32 // nil if there is no such rule
	}{
		"none":          {`[]`, nil},
		"public ones":   {`[ghcr.io, docker.io]`, []int32{443}},
		"with a port":   {`["registry.example:5000", ghcr.io]`, []int32{443, 5000}},
		"without TLS":   {`["http://registry.example", "http://other.example:5000"]`, []int32{443, 80, 5000}},
		"all the same":  {`["a.example:5000", "b.example:5000"]`, []int32{443, 5000}},
		"the usual one": {`["a.example:443"]`, []int32{443}},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{}
			if err := yaml.UnmarshalStrict([]byte("injector: {imageConfig: {registries: "+tt.registries+"}}"), &values); err != nil {
				t.Fatal(err)
			}
			for _, d := range mustRender(t, values).documents {
				policy, ok := d.object(t).(*networkingv1.NetworkPolicy)
				if !ok || d.name() != "lanyard-injector" {
					continue
				}
				var got []int32
				if rules := policy.Spec.Egress; len(rules) > 3 {
					if len(rules[3].To) != 0 {
						t.Error("it names whom, which no selector can")
					}
					for _, port := range rules[3].Ports {
						got = append(got, port.Port.IntVal)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("ports %v, want %v", got, tt.want)
				}
				return
			}
			t.Error("there is no policy")
		})
	}
}
