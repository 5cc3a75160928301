// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// mounted is a file in a volume, as the kubelet makes one of a ConfigMap or Secret: what it holds changes by one rename of a link.
type mounted struct {
	t    *testing.T
	dir  string
	made int
}

func (m *mounted) path() string { return filepath.Join(m.dir, "file") }

func (m *mounted) write(text string) {
	m.t.Helper()
	m.made++
	version := filepath.Join(m.dir, "..version-"+string(rune('a'+m.made)))
	link := filepath.Join(m.dir, "..data_tmp")
	steps := []error{os.Mkdir(version, 0o700), os.WriteFile(filepath.Join(version, "file"), []byte(text), 0o600), os.Symlink(filepath.Base(version), link), os.Rename(link, filepath.Join(m.dir, "..data"))}
	if m.made == 1 {
		steps = append(steps, os.Symlink("..data/file", m.path()))
	}
	for _, err := range steps {
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// configured is a valid command line with these files.
func configured(t *testing.T, ca, policy string) Config {
	t.Helper()
	cfg, err := ParseFlags([]string{"--namespace=lanyard", "--registry-url=https://registry", "--registry-ca-file=" + ca, "--agent-image=agent", "--policy-file=" + policy}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Kubernetes, cfg.Log = &rest.Config{Host: "https://127.0.0.1:1"}, slog.New(slog.DiscardHandler)
	return cfg
}

// authority returns the file of a certificate.
func authority(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestThePolicyFollowsItsFile(t *testing.T) {
	file := &mounted{t: t, dir: t.TempDir()}
	file.write("deliveries: [exec]\n")
	i, err := build(configured(t, authority(t), file.path()))
	if err != nil {
		t.Fatal(err)
	}
	allowed := func() []wire.Delivery {
		i.planner.mu.Lock()
		defer i.planner.mu.Unlock()
		return i.planner.cfg.Policy.Deliveries
	}
	is := func(want ...wire.Delivery) func() bool {
		return func() bool { return slices.Equal(allowed(), want) }
	}
	if !is(wire.DeliveryExec)() {
		t.Fatalf("at the start it allows %v", allowed())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var log lockedBuffer
	done := make(chan error, 1)
	go func() {
		done <- i.planner.watch(ctx, file.path(), i.planner.loadPolicy, slog.New(slog.NewJSONHandler(&log, nil)))
	}()

	file.write("deliveries: [file, envfile]\n")
	until(t, "the policy of the new file holds", is(wire.DeliveryFile, wire.DeliveryEnvfile))
	for _, text := range []string{"deliveries: [post]\n", "delivreies: [exec]\n", "{"} {
		before := strings.Count(log.String(), "keeping what the file held last")
		file.write(text)
		until(t, "it is logged that the file cannot be used", func() bool { return strings.Count(log.String(), "keeping what the file held last") > before })
		if !is(wire.DeliveryFile, wire.DeliveryEnvfile)() {
			t.Errorf("after %q it allows %v", text, allowed())
		}
	}
	file.write("delivery: exec\n")
	until(t, "the policy of the corrected file holds", is())

	cancel()
	if err := <-done; err != nil {
		t.Errorf("watching ended with %v", err)
	}
}

func TestAnInjectorDoesNotStartWithAFileItCannotUse(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, policy := authority(t), write("delivery: file\n")
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ ca, policy, want string }{
		"both as they should be":      {ca, policy, ""},
		"no policy":                   {ca, "", ""},
		"a CA that is not there":      {"/nonexistent/ca.crt", policy, "reading the registry's CA"},
		"a CA that holds none":        {write("no certificate"), policy, "holds no certificate"},
		"a CA too large for a pod":    {write(strings.Repeat(string(text), maxCA/len(text)+1)), policy, "more than 32768 bytes"},
		"a policy that is not there":  {ca, "/nonexistent/policy.yaml", "reading the policy"},
		"a policy with a wrong field": {ca, write("deliverys: [file]\n"), "deliverys"},
		"a policy with a wrong word":  {ca, write("delivery: post\n"), "post"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := build(configured(t, tc.ca, tc.policy))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	cfg := configured(t, ca, policy)
	cfg.Kubernetes, cfg.Kubeconfig = nil, "/nonexistent/kubeconfig"
	if _, err := build(cfg); err == nil || !strings.Contains(err.Error(), "finding the API server") {
		t.Errorf("without a way to the API server: %v", err)
	}
}
