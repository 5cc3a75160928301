// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

func TestTheChartIsCleanForLint(t *testing.T) {
	// Lint knows no cluster, so a refusal for want of an API is logged and passed over.
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.DiscardHandler))
	for _, name := range caseNames(t) {
		result := lint.RunAll(chartDir, caseValues(t, name), testNamespace)
		for _, m := range result.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestEveryDocumentIsWhatKubernetesExpects(t *testing.T) {
	clusterScoped := []string{"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	eachCase(t, func(t *testing.T, r rendering) {
		seen := map[string]bool{}
		for _, d := range r.documents {
			if seen[d.String()] {
				t.Errorf("%s is rendered twice", d)
			}
			seen[d.String()] = true
			if len(d.name()) > 63 {
				t.Errorf("%s: the name is longer than a DNS label", d)
			}
			wantNamespace := testNamespace
			if strings.HasSuffix(d.name(), "-injector-pull-secrets") {
				wantNamespace = "billing" // as the values say
			}
			if slices.Contains(clusterScoped, d.kind()) {
				wantNamespace = ""
			}
			if got, _ := d.metadata("namespace").(string); got != wantNamespace {
				t.Errorf("%s: namespace is %q, want %q", d, got, wantNamespace)
			}
			labels, _ := d.metadata("labels").(map[string]any)
			for _, l := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app.kubernetes.io/version", "helm.sh/chart"} {
				if labels[l] == nil {
					t.Errorf("%s: no label %s", d, l)
				}
			}
			if o := d.object(t); o != nil {
				if _, err := meta.Accessor(o); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			}
		}
	})
}

func TestADefaultInstallRendersAsBefore(t *testing.T) {
	golden(t, "default.golden.yaml", mustRender(t, caseValues(t, "default")).text)
}

func TestRenderingTwiceGivesTheSameBytes(t *testing.T) {
	for _, name := range caseNames(t) {
		a, b := mustRender(t, caseValues(t, name)), mustRender(t, caseValues(t, name))
		if a.text != b.text {
			t.Errorf("%s: two renderings differ: something in a template is random or reads the clock", name)
		}
	}
}

// A template cannot know whether a key exists, so no template may make one: see templates/init/job.yaml.
func TestNoDocumentHoldsKeyMaterialOrACABundle(t *testing.T) {
	for _, file := range loadChart(t).Templates {
		for _, f := range []string{"rand", "gen", "derivePassword", "lookup", "htpasswd", "now"} {
			for _, action := range actions(string(file.Data)) {
				for _, word := range strings.FieldsFunc(action, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') }) {
					if word == f || f != "now" && strings.HasPrefix(word, f) {
						t.Errorf("%s: the template calls %q", file.Name, word)
					}
				}
			}
		}
	}
	eachCase(t, func(t *testing.T, r rendering) {
		for _, d := range r.documents {
			if k := d.kind(); k == "Secret" || k == "ConfigMap" {
				t.Errorf("%s is in the release; the init Job makes those, or an uninstall would take them away", d)
			}
			if hasKey(d.fields, "caBundle") {
				t.Errorf("%s sets caBundle; an upgrade would wipe what the injector wrote", d)
			}
		}
	})
}

// actions returns the template actions of text that are not comments.
func actions(text string) []string {
	var found []string
	for {
		_, rest, ok := strings.Cut(text, "{{")
		if !ok {
			return found
		}
		action, after, _ := strings.Cut(rest, "}}")
		if !strings.HasPrefix(strings.TrimLeft(action, "- "), "/*") {
			found = append(found, action)
		}
		text = after
	}
}

func hasKey(v any, key string) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if k == key || hasKey(e, key) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return hasKey(e, key) })
	}
	return false
}

func TestTheWebhookSeesOptedInPodsOnlyAndFailsClosed(t *testing.T) {
	values := caseValues(t, "default")
	values["injector"] = map[string]any{"excludedNamespaces": []any{"istio-system"}}
	r := mustRender(t, values)
	hooks := find[*admissionv1.MutatingWebhookConfiguration](t, r, "lanyard-injector").Webhooks
	if len(hooks) != 1 {
		t.Fatalf("%d webhooks, want 1", len(hooks))
	}
	h := hooks[0]
	if got := h.ObjectSelector.MatchLabels["lanyard.dev/inject"]; got != "true" || len(h.ObjectSelector.MatchLabels) != 1 {
		t.Errorf("object selector is %v", h.ObjectSelector)
	}
	if *h.FailurePolicy != admissionv1.Fail || *h.SideEffects != admissionv1.SideEffectClassNoneOnDryRun || *h.ReinvocationPolicy != admissionv1.IfNeededReinvocationPolicy {
		t.Errorf("policies are %v, %v, %v", *h.FailurePolicy, *h.SideEffects, *h.ReinvocationPolicy)
	}
	excluded := h.NamespaceSelector.MatchExpressions[0].Values
	if want := []string{"kube-system", "kube-node-lease", testNamespace, "istio-system"}; !slices.Equal(excluded, want) {
		t.Errorf("excluded namespaces are %v, want %v", excluded, want)
	}
	guard := find[*admissionv1.ValidatingAdmissionPolicy](t, r, "lanyard-guard").Spec
	if got, want := fmt.Sprint(guard.MatchConstraints.NamespaceSelector, guard.MatchConstraints.ObjectSelector), fmt.Sprint(h.NamespaceSelector, h.ObjectSelector); got != want {
		t.Errorf("the guard selects %s, the webhook %s", got, want)
	}
	if diff := cmp.Diff(h.Rules[0].Rule, guard.MatchConstraints.ResourceRules[0].Rule); diff != "" {
		t.Errorf("the guard covers other requests than the webhook (-webhook +guard):\n%s", diff)
	}
}

func TestTheInitJobMakesOnlyWhatTheOperatorDoesNotBring(t *testing.T) {
	for name, want := range map[string][]string{
		"default":          {"--key-secret=lanyard-keys", "--bootstrap-secret=lanyard-bootstrap", "--tls-secret=lanyard-registry-tls", "--ca-configmap=lanyard-registry-ca", "--injector-cert-secret=lanyard-injector-cert"},
		"existing-secrets": {"--injector-cert-secret=lanyard-injector-cert"},
		"openshift":        {"--key-secret=lanyard-keys", "--tls-secret=lanyard-registry-tls", "--ca-configmap=lanyard-registry-ca", "--injector-cert-secret=lanyard-injector-cert"},
	} {
		t.Run(name, func(t *testing.T) {
			job := find[*batchv1.Job](t, mustRender(t, caseValues(t, name)), "lanyard-init")
			var got []string
			for _, arg := range job.Spec.Template.Spec.Containers[0].Args {
				if flag, _, _ := strings.Cut(arg, "="); strings.HasSuffix(flag, "-secret") || strings.HasSuffix(flag, "-configmap") {
					got = append(got, arg)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("args are %v, want %v", got, want)
			}
		})
	}
}

func TestHooksRunRightsFirstAndLeaveNothingBehind(t *testing.T) {
	var order []string
	weights := map[string]string{}
	for _, d := range mustRender(t, nil).documents {
		annotations, _ := d.metadata("annotations").(map[string]any)
		if annotations["helm.sh/hook"] == nil {
			continue
		}
		if got := annotations["helm.sh/hook"]; got != "pre-install,pre-upgrade" {
			t.Errorf("%s runs at %v", d, got)
		}
		if got := annotations["helm.sh/hook-delete-policy"]; got != "before-hook-creation,hook-succeeded" {
			t.Errorf("%s is deleted %v", d, got)
		}
		order = append(order, d.kind())
		weights[d.kind()], _ = annotations["helm.sh/hook-weight"].(string)
	}
	if want := []string{"Job", "ServiceAccount", "Role", "RoleBinding"}; !slices.Equal(order, want) {
		t.Errorf("hooks are %v, want %v", order, want)
	}
	if got, want := fmt.Sprint(weights), "map[Job:0 Role:-2 RoleBinding:-1 ServiceAccount:-3]"; got != want {
		t.Errorf("weights are %s, want %s", got, want)
	}
}

func TestNotesLeadToTheFirstSecret(t *testing.T) {
	notes := mustRender(t, nil).notes
	for _, want := range []string{
		"BACK UP THE KEY", "get secret lanyard-keys", "get secret lanyard-bootstrap", "get configmap lanyard-registry-ca",
		"api /acme/secrets", "api /acme/consumers", `lanyard.dev/inject: "true"`, "lanyard.dev/consumer: acme/web",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not mention %q", want)
		}
	}
}
