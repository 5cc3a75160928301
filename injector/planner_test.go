// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/injector/mutate"
	"github.com/lanyard-dev/lanyard/internal/logtest"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// newPlanner returns a planner that follows a policy file until the test ends, what it logs, and what writes the file as the kubelet does: beside it, and then over it.
func newPlanner(t *testing.T, text string) (p *planner, log *logtest.Buffer, write func(string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write = func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	log = new(logtest.Buffer)
	p = &planner{cfg: mutate.Config{Image: "agent:1", URL: "https://registry", CA: "a CA"}}
	if err := p.loadPolicy(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.watch(ctx, path, p.loadPolicy, slog.New(slog.NewJSONHandler(log, nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watching: %v", err)
		}
	})
	return p, log, write
}

// web is a consumer that every pod may claim.
type web struct{}

func (web) Lookup(string) (*wire.ConsumerNames, bool) {
	return &wire.ConsumerNames{Envs: []wire.EnvName{{Name: "KEY"}}, Bindings: []wire.Binding{{Namespace: "shop", ServiceAccount: "default"}}}, true
}

func (web) Secret(string) (*wire.SecretNames, bool) { return nil, false }

// gives reports whether pods that name no delivery get d now.
func (p *planner) gives(t *testing.T, d wire.Delivery) bool {
	t.Helper()
	pod, err := mutate.ParsePod([]byte(`{"metadata":{"labels":{"lanyard.dev/inject":"true"},"annotations":{"lanyard.dev/consumer":"acme/web"}},"spec":{"containers":[{"name":"app","command":["app"]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	plan := p.mutator.Load().Plan(pod, "shop", web{})
	if plan.Decision != mutate.Injected {
		t.Fatalf("%s: %v", plan.Decision, plan.Problems)
	}
	return strings.Contains(string(plan.Patch), `\"delivery\":\"`+string(d)+`\"`)
}

func TestThePolicyFileIsFollowed(t *testing.T) {
	p, _, write := newPlanner(t, "delivery: exec")
	if !p.gives(t, wire.DeliveryExec) {
		t.Error("the first policy does not hold")
	}
	write("delivery: file")
	until(t, "the new policy holds", func() bool { return p.gives(t, wire.DeliveryFile) })
}

func TestAPolicyFileThatCannotBeUsedLeavesTheOneBefore(t *testing.T) {
	for name, bad := range map[string]string{
		"no YAML":                    "delivery: [",
		"a misspelled field":         "deliverie: file",
		"a delivery that is not one": "delivery: carrier-pigeon",
		"a default it forbids":       "{delivery: file, deliveries: [exec]}",
		"too long":                   "delivery: file\n#" + strings.Repeat("x", mutate.MaxPolicyBytes),
	} {
		t.Run(name, func(t *testing.T) {
			p, log, write := newPlanner(t, "delivery: exec")
			write(bad)
			until(t, "it is complained of", func() bool { return strings.Contains(log.String(), "keeping what the file held last") })
			if !p.gives(t, wire.DeliveryExec) {
				t.Error("the policy of before holds no more")
			}
			write("delivery: file") // and the next good one is taken
			until(t, "it is mended", func() bool { return p.gives(t, wire.DeliveryFile) })
		})
	}
}

func TestAPolicyFileThatCannotBeUsedAtStartIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	p := &planner{cfg: mutate.Config{Image: "agent:1", URL: "https://registry", CA: "a CA"}}
	if err := p.loadPolicy(path); err == nil || !strings.HasPrefix(err.Error(), "reading the policy: ") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("delivery: carrier-pigeon"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.loadPolicy(path); err == nil || p.mutator.Load() != nil {
		t.Errorf("a bad one: %v", err)
	}
}
