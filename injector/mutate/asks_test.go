// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestWhatAPodWouldAskForIsWhatItAsksForOnceInjected(t *testing.T) {
	m, err := New(Config{Image: "agent", URL: "https://registry", CA: "ca"})
	if err != nil {
		t.Fatal(err)
	}
	names := askNames{
		"acme/web": {Ref: "acme/web", Envs: []wire.EnvName{{Name: "A"}, {Name: "B"}}, Bindings: []wire.Binding{{Namespace: "shop", ServiceAccount: "default"}}},
		"acme/no":  {Ref: "acme/no", Envs: []wire.EnvName{{Name: "C"}}},
	}
	pod := func(consumer string) []byte {
		return []byte(`{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"` + consumer + `","lanyard.dev/delivery":"file"}},"spec":{"containers":[{"name":"app"}]}}`)
	}
	for name, tc := range map[string]struct {
		consumer string
		want     []wire.ContainerRequest
		injected bool
	}{
		"a pod that is let in":  {"acme/web", []wire.ContainerRequest{{Name: "app", Consumer: "acme/web", Delivery: wire.DeliveryFile, Envs: []string{"A", "B"}}}, true},
		"a pod without binding": {"acme/no", []wire.ContainerRequest{{Name: "app", Consumer: "acme/no", Envs: []string{}}}, false},
		"no consumer of a name": {"acme", []wire.ContainerRequest{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := ParsePod(pod(tc.consumer))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, m.Asks(parsed, "shop", names)); diff != "" {
				t.Errorf("asks (-want +got):\n%s", diff)
			}
			if asked := parsed.Asked(); len(asked) != 0 {
				t.Errorf("before it is injected it asks for %v", asked)
			}
			plan := m.Plan(parsed, "shop", names)
			if !tc.injected {
				return
			}
			again, err := ParsePod(apply(t, pod(tc.consumer), plan))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, again.Asked()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhichTokensForProvidersAPodSendsAlong(t *testing.T) {
	m, err := New(Config{Image: "agent", URL: "https://registry", CA: "ca", ImageVolumes: true, ProviderAudiences: []string{"vault", "bao"}})
	if err != nil {
		t.Fatal(err)
	}
	bound := []wire.Binding{{Namespace: "shop", ServiceAccount: "default"}}
	names := askNames{
		"acme/web":   {Ref: "acme/web", Envs: []wire.EnvName{{Name: "A"}}, Bindings: bound, ProviderAudiences: []string{"bao", "vault"}},
		"acme/cache": {Ref: "acme/cache", Envs: []wire.EnvName{{Name: "B"}}, Bindings: bound, ProviderAudiences: []string{"vault"}},
	}
	raw := []byte(`{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer.app":"acme/web","lanyard.dev/consumer.cache":"acme/cache","lanyard.dev/delivery":"direct"}},
		"spec":{"containers":[{"name":"app","command":["app"]},{"name":"cache","command":["cache"]}]}}`)
	parsed, err := ParsePod(raw)
	if err != nil {
		t.Fatal(err)
	}
	if sent := parsed.ProviderAudiences(); len(sent) != 0 {
		t.Errorf("before it is injected it sends %v", sent)
	}
	injected := apply(t, raw, m.Plan(parsed, "shop", names))
	for name, tc := range map[string]struct {
		pod  []byte
		want map[string][]string
	}{
		"as it was injected":           {injected, map[string][]string{"app": {"bao", "vault"}, "cache": {"vault"}}},
		"with a token taken from it":   {bytes.ReplaceAll(injected, []byte(`"audience":"vault"`), []byte(`"audience":"other"`)), map[string][]string{"app": {"bao"}}},
		"with no volume of the tokens": {bytes.ReplaceAll(injected, []byte(`"projected"`), []byte(`"secret"`)), map[string][]string{}},
	} {
		pod, err := ParsePod(tc.pod)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, pod.ProviderAudiences()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// askNames are consumers by name.
type askNames map[string]*wire.ConsumerNames

func (n askNames) Lookup(consumer string) (*wire.ConsumerNames, bool) {
	c, ok := n[consumer]
	return c, ok
}
func (n askNames) Secret(string) (*wire.SecretNames, bool) { return nil, false }
