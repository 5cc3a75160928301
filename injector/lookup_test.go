// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/injector/images"
	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// answers are what a looker says, which notes what it was asked.
type answers struct {
	all   map[string]images.Answer
	asked images.Request
}

func (a *answers) Look(_ context.Context, r images.Request) map[string]images.Answer {
	a.asked = r
	return a.all
}

func TestAnswersOfRegistriesBecomeThoseOfPlans(t *testing.T) {
	by := &answers{all: map[string]images.Answer{
		"a": {Reference: "a@x", Entrypoint: []string{"e"}, Cmd: []string{"c"}},
		"b": {Err: &images.Error{Kind: images.NotAllowed, Text: "one"}}, "c": {Err: &images.Error{Kind: images.Denied, Text: "two"}},
		"d": {Err: &images.Error{Kind: images.Unavailable, Text: "three"}}, "e": {Err: &images.Error{Kind: images.Ambiguous, Text: "four"}},
	}}
	got := look(t.Context(), by, "shop", &mutate.Lookup{Images: []string{"a"}, Architectures: []string{"amd64"}, PullSecrets: []string{"s"}})
	want := mutate.Images{
		"a": {Reference: "a@x", Entrypoint: []string{"e"}, Cmd: []string{"c"}},
		"b": {Reason: mutate.ReasonImageRegistryNotAllowed, Detail: "one"}, "c": {Reason: mutate.ReasonImageConfigDenied, Detail: "two"},
		"d": {Reason: mutate.ReasonImageConfigUnavailable, Detail: "three"}, "e": {Reason: mutate.ReasonImageConfigAmbiguous, Detail: "four"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(images.Request{Namespace: "shop", Images: []string{"a"}, Architectures: []string{"amd64"}, PullSecrets: []string{"s"}}, by.asked); diff != "" {
		t.Errorf("the request differs (-want +got):\n%s", diff)
	}
}

func TestPodsThatWantALookup(t *testing.T) {
	pod, err := mutate.ParsePod([]byte(`{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web","lanyard.dev/delivery":"exec","lanyard.dev/image-config":"lookup"}},
		"spec":{"containers":[{"name":"app","image":"registry.example/app:1"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	known := &answers{all: map[string]images.Answer{"registry.example/app:1": {Reference: "registry.example/app:1@sha256:x", Entrypoint: []string{"/app"}}}}
	for name, tc := range map[string]struct {
		by     looker
		archs  []string
		dryRun bool
		waits  bool
		want   mutate.Reason
	}{
		"are answered when it is known":          {known, []string{"amd64"}, false, true, mutate.ReasonInjected},
		"are refused in a dry run":               {known, []string{"amd64"}, true, false, mutate.ReasonImageConfigDryRun},
		"are refused where no registry is named": {nil, []string{"amd64"}, false, false, mutate.ReasonImageRegistryNotAllowed},
		"are refused where no node says what it": {known, nil, false, false, mutate.ReasonImageConfigAmbiguous},
	} {
		t.Run(name, func(t *testing.T) {
			p := &planner{view: func() mutate.Names { return web{} }, images: tc.by, cfg: mutate.Config{Image: "agent:1", URL: "https://registry", CA: "a CA", Architectures: tc.archs}}
			if err := p.change(func(*mutate.Config) {}); err != nil {
				t.Fatal(err)
			}
			plan, later := p.Plan(pod, "shop", tc.dryRun)
			if (later != nil) != tc.waits {
				t.Fatalf("waits: %t", later != nil)
			}
			if later != nil {
				plan = later(t.Context())
			}
			if plan.Reason != tc.want {
				t.Errorf("%s: %s", plan.Decision, plan.Message())
			}
		})
	}
}

func TestAnImagePullSecretThatMayNotBeRead(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/api/v1/namespaces/shop/secrets/pull" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`))
	}))
	defer api.Close()
	client, err := core.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (pullSecrets{client}).Secret(t.Context(), "shop", "pull"); !apierrors.IsForbidden(err) {
		t.Errorf("%v", err)
	}
}
