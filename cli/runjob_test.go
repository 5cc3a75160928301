// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/pkg/api"
)

// TestAJobPassesTheRestrictedStandard asks what a namespace that enforces it asks, and decodes the Job as strictly as the API server can.
func TestAJobPassesTheRestrictedStandard(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string]jobFlags{
		"as the image's user": {namespace: "pay", account: "api", image: "i"},
		"as another user":     {namespace: "pay", account: "api", image: "i", delivery: "exec", user: 1000},
	} {
		text, err := yaml.Marshal(jobOf(flags, "acme", api.Consumer{Name: "billing"}, []string{"/migrate"}))
		if err != nil {
			t.Fatal(err)
		}
		var job batchv1.Job
		if err := yaml.UnmarshalStrict(text, &job); err != nil {
			t.Fatal(err)
		}
		pod := job.Spec.Template
		restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
		if r := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec)); !r.Allowed {
			t.Errorf("%s: %s", name, r.ForbiddenDetail())
		}
		if user := pod.Spec.SecurityContext.RunAsUser; (user == nil) != (flags.user == 0) || user != nil && *user != flags.user {
			t.Errorf("%s: it runs as %v", name, user)
		}
	}
}
