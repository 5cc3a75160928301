// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/reasons-admission.md")

// TestGoldenPods plans every testdata/<case>.input.yaml, and every pod of testdata/corpus, which are pods as operators, injectors and people really make them, and compares the pod it becomes, or the message it is refused with, with <case>.golden.yaml. The
// cluster of cases called image-… mounts images as volumes.
func TestGoldenPods(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.input.yaml")
	corpus, corpusErr := filepath.Glob("testdata/corpus/*.input.yaml")
	if err := errorsOf(err, corpusErr); err != nil || len(inputs) == 0 || len(corpus) < 60 {
		t.Fatalf("%d inputs, %d in the corpus: %v", len(inputs), len(corpus), err)
	}
	inputs = append(inputs, corpus...)
	for _, input := range inputs {
		name := strings.TrimSuffix(filepath.Base(input), ".input.yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			before, err := yaml.YAMLToJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			outcome, able := strings.CutPrefix(name, "image-")
			m := testMutator(t, func(c *Config) { c.ImageVolumes = able })
			plan := planJSON(t, m, before)
			after := apply(t, before, plan)

			golden := strings.TrimSuffix(input, ".input.yaml") + ".golden.yaml"
			got := render(t, plan, after)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("golden pod differs (-want +got):\n%s", diff)
			}
			if prefix, _, _ := strings.Cut(outcome, "-"); (prefix == "denied") != (plan.Decision == Denied) || (prefix == "skipped") != (plan.Decision == Skipped) {
				t.Errorf("decision = %s", plan.Decision)
			}
			if plan.Decision != Injected {
				return
			}
			checkSettled(t, m, after)
			checkUntouched(t, before, after)
			checkPodSecurity(t, before, after)
		})
	}
}

// checkSettled demands that a second pass changes nothing, both on the pod as patched and as the API server would hand it out again.
func checkSettled(t *testing.T, m *Mutator, after []byte) {
	t.Helper()
	for what, pod := range map[string][]byte{"patched": after, "re-encoded": canonical(t, after)} {
		if again := planJSON(t, m, pod); again.Decision != Unchanged {
			t.Errorf("second plan of the %s pod: %s, patch %s, problems %v", what, again.Decision, again.Patch, again.Problems)
		}
	}
}

// checkUntouched demands that containers without ENVs of ours are the same bytes as before.
func checkUntouched(t *testing.T, before, after []byte) {
	t.Helper()
	type pod struct {
		Spec struct{ InitContainers, Containers []json.RawMessage }
	}
	var a, b pod
	if err := errorsOf(json.Unmarshal(before, &a), json.Unmarshal(after, &b)); err != nil {
		t.Fatal(err)
	}
	foreign := func(list []json.RawMessage) (containers []json.RawMessage) {
		for _, raw := range list {
			var c container
			if err := json.Unmarshal(raw, &c); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(ownNames, c.Name) {
				containers = append(containers, raw)
			}
		}
		return containers
	}
	for _, lists := range [][2][]json.RawMessage{{foreign(a.Spec.InitContainers), foreign(b.Spec.InitContainers)}, {foreign(a.Spec.Containers), foreign(b.Spec.Containers)}} {
		if len(lists[0]) != len(lists[1]) {
			t.Fatalf("of %d containers %d are left", len(lists[0]), len(lists[1]))
		}
		for i, old := range lists[0] {
			if now := lists[1][i]; !bytes.Contains(now, []byte("lanyard-")) && !bytes.Contains(old, []byte("lanyard-")) && !bytes.Equal(old, now) {
				t.Errorf("a container changed from\n%s to\n%s", old, now)
			}
		}
	}
}

// checkPodSecurity demands that a pod that passes the restricted Pod Security Standard still does.
func checkPodSecurity(t *testing.T, before, after []byte) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	evaluate := func(raw []byte) policy.AggregateCheckResult {
		var pod corev1.Pod
		if err := json.Unmarshal(raw, &pod); err != nil {
			t.Fatal(err)
		}
		return policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	}
	if a, b := evaluate(before), evaluate(after); a.Allowed && !b.Allowed {
		t.Errorf("injection broke the restricted standard: %s", b.ForbiddenDetail())
	}
	// Whatever the pod is, our own containers pass by themselves.
	var pod corev1.Pod
	if err := json.Unmarshal(after, &pod); err != nil {
		t.Fatal(err)
	}
	alone := corev1.PodSpec{}
	for _, c := range pod.Spec.InitContainers {
		if slices.Contains(ownNames, c.Name) {
			alone.Containers = append(alone.Containers, c)
		}
	}
	if r := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &alone)); !r.Allowed {
		t.Errorf("the init agent breaks the restricted standard: %s", r.ForbiddenDetail())
	}
}

func testConfig() Config {
	return Config{
		Image: "ghcr.io/lanyard-dev/lanyard-agent:1.0.0", URL: "https://lanyard-registry.lanyard.svc:8443", HostNetworkURL: "https://10.96.7.7:8443",
		ServerName: "lanyard-registry.lanyard.svc", CA: "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
		ProviderAudiences: []string{"vault", "https://vault.example:8200"}, Architectures: []string{"arm64", "amd64"},
		CPURequest: resource.MustParse("10m"), MemoryRequest: resource.MustParse("16Mi"), CPULimit: resource.MustParse("200m"), MemoryLimit: resource.MustParse("64Mi"),
	}
}

func testMutator(t testing.TB, changes ...func(*Config)) *Mutator {
	t.Helper()
	cfg := testConfig()
	for _, change := range changes {
		change(&cfg)
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type namesMap map[string]*wire.ConsumerNames

func (n namesMap) Lookup(consumer string) (*wire.ConsumerNames, bool) {
	c, ok := n[consumer]
	return c, ok
}

func (namesMap) Secret(secret string) (*wire.SecretNames, bool) {
	s, ok := testSecrets[secret]
	return s, ok
}

var testSecrets = func() map[string]*wire.SecretNames {
	web := []wire.Binding{{Namespace: "shop", ServiceAccount: "api"}, {Namespace: "shop", ServiceAccount: "web"}}
	return map[string]*wire.SecretNames{
		"acme/stripe":  {Grants: web},
		"acme/mail":    {Grants: web},
		"acme/quote":   {Grants: web, NoEnvfile: "it contains a single quote"},
		"acme/blob":    {Grants: web, NoEnvfile: "it contains a NUL byte", NoExec: "it contains a NUL byte"},
		"acme/theirs":  {Grants: []wire.Binding{{Namespace: "shop", ServiceAccount: "payments"}, {Namespace: "bank", ServiceAccount: "web"}}},
		"globex/token": {Grants: web},
		"acme/own":     {Grants: web, ProviderAudience: "https://vault.example:8200"},
	}
}()

var testNames = func() namesMap {
	web := []wire.Binding{{Namespace: "shop", ServiceAccount: "api"}, {Namespace: "shop", ServiceAccount: "web"}}
	n := namesMap{
		"acme/web":       {Envs: []wire.EnvName{{Name: "DB_PASSWORD"}, {Name: "API_KEY"}}, Bindings: web},
		"acme/worker":    {Envs: []wire.EnvName{{Name: "QUEUE_URL"}}, Bindings: web},
		"acme/empty":     {Bindings: web},
		"acme/quoted":    {Envs: []wire.EnvName{{Name: "OK"}, {Name: "BAD", NoEnvfile: "it contains a single quote"}}, Bindings: web},
		"acme/binary":    {Envs: []wire.EnvName{{Name: "BLOB", NoEnvfile: "it contains a NUL byte", NoExec: "it contains a NUL byte"}}, Bindings: web},
		"acme/elsewhere": {Envs: []wire.EnvName{{Name: "X"}}, Bindings: []wire.Binding{{Namespace: "other", ServiceAccount: "web"}}},
		"acme/other":     {Envs: []wire.EnvName{{Name: "X"}}, Bindings: []wire.Binding{{Namespace: "shop", ServiceAccount: "payments"}, {Namespace: "bank", ServiceAccount: "hidden"}}},
	}
	n["acme/vaulted"] = &wire.ConsumerNames{Envs: []wire.EnvName{{Name: "DB_PASSWORD"}}, Bindings: web, ProviderAudiences: []string{"vault"}}
	n["acme/greedy"] = &wire.ConsumerNames{Envs: []wire.EnvName{{Name: "X"}}, Bindings: web, ProviderAudiences: []string{"https://kubernetes.default.svc"}}
	big := &wire.ConsumerNames{Bindings: web}
	for i := range 100 {
		big.Envs = append(big.Envs, wire.EnvName{Name: fmt.Sprintf("E%d", i)})
	}
	n["acme/big"] = big
	return n
}()

func planJSON(t testing.TB, m *Mutator, raw []byte) Plan {
	t.Helper()
	pod, err := ParsePod(raw)
	if err != nil {
		t.Fatal(err)
	}
	return planLookedUp(m, pod)
}

// planLookedUp plans a pod with what testImages say of its images.
func planLookedUp(m *Mutator, pod *Pod) Plan {
	lookup := m.Lookup(pod, "shop", testNames)
	if lookup == nil {
		return m.Plan(pod, "shop", testNames)
	}
	images := make(Images)
	for _, image := range lookup.Images {
		answer, known := testImages[image]
		if !known {
			answer = Image{Reason: ReasonImageConfigDenied, Detail: "registry.example shows nobody that image"}
		}
		images[image] = answer
	}
	return m.PlanWithImages(pod, "shop", testNames, images)
}

const testDigest = "@sha256:5dd1c2d0ad0ed9a6d0d4d0f3b3b76f9a2b29d43b6fb9b1a4d6d3f3b6d1f9a2b2"

// testImages are what images run that were looked up.
var testImages = Images{
	"registry.example/both:1":              {Reference: "registry.example/both:1" + testDigest, Entrypoint: []string{"/tini", "--", "app"}, Cmd: []string{"serve", "--price=5$", "$(DB_PASSWORD)"}},
	"registry.example/entrypoint:1":        {Reference: "registry.example/entrypoint:1" + testDigest, Entrypoint: []string{"/app"}},
	"registry.example/cmd":                 {Reference: "registry.example/cmd" + testDigest, Cmd: []string{"sh", "-c", "exec app $$ $HOME"}},
	"registry.example/none:1":              {Reference: "registry.example/none:1" + testDigest},
	"registry.example/pinned" + testDigest: {Reference: "registry.example/pinned" + testDigest, Entrypoint: []string{"/app"}},
	"registry.example/two:1":               {Reason: ReasonImageConfigAmbiguous, Detail: "registry.example/two:1 runs something else on linux/amd64 than on linux/arm64"},
}

func apply(t testing.TB, raw []byte, plan Plan) []byte {
	t.Helper()
	if plan.Patch == nil {
		return raw
	}
	p, err := jsonpatch.DecodePatch(plan.Patch)
	if err != nil {
		t.Fatalf("patch %s: %v", plan.Patch, err)
	}
	out, err := p.Apply(raw)
	if err != nil {
		t.Fatalf("applying %s: %v", plan.Patch, err)
	}
	return out
}

// canonical encodes a pod as the API server does before it calls a webhook.
func canonical(t testing.TB, raw []byte) []byte {
	t.Helper()
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(&pod)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func render(t *testing.T, plan Plan, after []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: %s\n", plan.Decision, plan.Reason)
	for _, w := range plan.Warnings {
		fmt.Fprintf(&b, "# warning: %s\n", w)
	}
	for _, p := range plan.Problems {
		fmt.Fprintf(&b, "# %s\n", p)
	}
	if plan.Decision == Injected {
		text, err := yaml.JSONToYAML(after)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.Bytes()
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
