// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

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
