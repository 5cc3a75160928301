// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lookupPod is a pod whose container app has no command and asks for the lookup. Fields are further ones of its spec, annotations further ones of its metadata.
func lookupPod(t *testing.T, annotations, fields string) *Pod {
	t.Helper()
	pod, err := ParsePod(fmt.Appendf(nil, `{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web","lanyard.dev/image-config":"lookup"%s}},
		"spec":{"serviceAccountName":"web","containers":[{"name":"app","image":"registry.example/both:1"},{"name":"b","image":"registry.example/cmd"}]%s}}`, annotations, fields))
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

const execAnnotation = `,"lanyard.dev/delivery":"exec"`

func TestWhatIsLookedUp(t *testing.T) {
	both := []string{"amd64", "arm64"}
	required := func(terms string) string {
		return `,"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[` + terms + `]}}}`
	}
	const arm = `{"matchExpressions":[{"key":"zone","operator":"Exists"},{"key":"kubernetes.io/arch","operator":"In","values":["arm64","arm"]}]}`
	for name, tc := range map[string]struct {
		annotations, fields string
		changes             []func(*Config)
		want                *Lookup
	}{
		"the image of a container whose command is wrapped": {execAnnotation, "", nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: both}},
		"of every such container":                           {execAnnotation + `,"lanyard.dev/containers":"*"`, "", nil, &Lookup{Images: []string{"registry.example/both:1", "registry.example/cmd"}, Architectures: both}},
		"with the pod's pull secrets, each once":            {execAnnotation, `,"imagePullSecrets":[{"name":"b"},{"name":"a"},{"name":"b"},{}]`, nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: both, PullSecrets: []string{"b", "a"}}},
		"for the architecture the pod selects":              {execAnnotation, `,"nodeSelector":{"kubernetes.io/arch":"s390x"}` + required(arm), nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: []string{"s390x"}}},
		"for those its affinity demands":                    {execAnnotation, required(arm), nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: []string{"arm", "arm64"}}},
		"for those every term demands":                      {execAnnotation, required(arm + `,{"matchExpressions":[{"key":"kubernetes.io/arch","operator":"In","values":["amd64"]}]}`), nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: []string{"amd64", "arm", "arm64"}}},
		"for all if one term demands none":                  {execAnnotation, required(arm + `,{"matchExpressions":[{"key":"zone","operator":"Exists"}]}`), nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: both}},
		"for all if it only excludes some":                  {execAnnotation, required(`{"matchExpressions":[{"key":"kubernetes.io/arch","operator":"NotIn","values":["arm64"]}]}`), nil, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: both}},
		"nothing where env files carry the values":          {"", "", nil, nil},
		"nothing for files":                                 {`,"lanyard.dev/delivery":"file"`, "", nil, nil},
		"where auto falls to exec":                          {"", "", []func(*Config){func(c *Config) { c.Unsupported = "too old" }}, &Lookup{Images: []string{"registry.example/both:1"}, Architectures: both}},
		"nothing for a pod that is refused anyway":          {execAnnotation + `,"lanyard.dev/order":"after:nobody"`, "", nil, nil},
		"nothing if its consumer is not bound":              {execAnnotation + `,"lanyard.dev/consumer.b":"acme/elsewhere"`, "", nil, nil},
		"nothing while the nodes are not known":             {execAnnotation, "", []func(*Config){func(c *Config) { c.NodesUnknown, c.Architectures = true, nil }}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := testMutator(t, tc.changes...).Lookup(lookupPod(t, tc.annotations, tc.fields), "shop", testNames)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("lookup differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsThatNeverAskAreNotLookedUp(t *testing.T) {
	m := testMutator(t)
	for name, change := range map[string]func(*Pod){
		"without the annotation":     func(p *Pod) { delete(p.Metadata.Annotations, "lanyard.dev/image-config") },
		"with another value":         func(p *Pod) { p.Metadata.Annotations["lanyard.dev/image-config"] = "yes" },
		"without the label":          func(p *Pod) { p.Metadata.Labels = nil },
		"with a command":             func(p *Pod) { p.Spec.Containers[0].Command = []string{"app"} },
		"with a command of ours":     func(p *Pod) { p.Spec.Containers[0].Command = slices.Concat(wrappers[0], []string{"app"}) },
		"with a wrapper that is bad": func(p *Pod) { p.Spec.Containers[0].Command = wrappers[0] },
	} {
		t.Run(name, func(t *testing.T) {
			pod := lookupPod(t, execAnnotation, "")
			change(pod)
			if got := m.Lookup(pod, "shop", testNames); got != nil {
				t.Errorf("looked up: %+v", got)
			}
		})
	}
	if got := m.Lookup(lookupPod(t, execAnnotation, ""), "shop", nil); got != nil {
		t.Errorf("without names: %+v", got)
	}
}

func TestWhatIsNotKnownOfAnImageIsRefused(t *testing.T) {
	found := Image{Reference: "registry.example/both:1" + testDigest, Entrypoint: []string{"/app"}}
	for name, tc := range map[string]struct {
		images  Images
		changes []func(*Config)
		want    Reason
		text    string
	}{
		"a dry run":                     {nil, nil, ReasonImageConfigDryRun, "was not looked up"},
		"an image nobody answered for":  {Images{}, nil, ReasonImageConfigUnavailable, "was not looked up"},
		"an image that was refused":     {Images{"registry.example/both:1": {Reason: ReasonImageConfigDenied, Detail: "the registry says no"}}, nil, ReasonImageConfigDenied, "not known: the registry says no"},
		"an image that runs nothing":    {Images{"registry.example/both:1": {}}, nil, ReasonNoCommand, "nor has its image"},
		"nodes that are not known":      {Images{"registry.example/both:1": found}, []func(*Config){func(c *Config) { c.NodesUnknown, c.Architectures = true, nil }}, ReasonSupportUnknown, "nodes"},
		"nodes without an architecture": {Images{"registry.example/both:1": found}, []func(*Config){func(c *Config) { c.Architectures = nil }}, ReasonImageConfigAmbiguous, "no schedulable Linux node"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := testMutator(t, tc.changes...).PlanWithImages(lookupPod(t, execAnnotation, ""), "shop", testNames, tc.images)
			if plan.Decision != Denied || plan.Reason != tc.want || !strings.Contains(plan.Message(), tc.text) || !strings.HasPrefix(plan.Message(), "spec.containers[0].") && tc.want != ReasonSupportUnknown {
				t.Errorf("%s: %s", plan.Decision, plan.Message())
			}
		})
	}
}

// TestTheKubeletReadsWhatTheImageSays expands what is written as the kubelet does: it must be the image's words again, whatever they hold.
func TestTheKubeletReadsWhatTheImageSays(t *testing.T) {
	words := []string{"", "$", "$$", "$$$", "$(A)", "$$(A)", "a$(A", "$(", "x$", "${A}", "$(A)$(B)", "$)("}
	for i, written := range literal(words) {
		if got := expanded(written); got != words[i] {
			t.Errorf("%q was written %q, which becomes %q", words[i], written, got)
		}
		references(written, func(name string) { t.Errorf("%q refers to %q", written, name) })
	}
}

// expanded is what the kubelet makes of a word that refers to nothing: $$ is one dollar.
func expanded(word string) string {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		b.WriteByte(word[i])
		if word[i] == '$' && i+1 < len(word) && word[i+1] == '$' {
			i++
		}
	}
	return b.String()
}
