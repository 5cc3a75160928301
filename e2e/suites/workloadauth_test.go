// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/e2e/installation"
)

// TestWorkloadAuth runs the suite of hostile tokens, which knows of the cluster only what is told here.
func TestWorkloadAuth(t *testing.T) {
	w := newWorld(t)
	service, err := lanyard.Client.CoreV1().Services(installation.Namespace).Get(w.ctx, installation.Release+"-registry", metav1.GetOptions{})
	w.must(err)
	bundle, err := lanyard.Client.CoreV1().ConfigMaps(installation.Namespace).Get(w.ctx, installation.Release+"-registry-ca", metav1.GetOptions{})
	w.must(err)
	ca := t.TempDir() + "/ca.crt"
	w.must(os.WriteFile(ca, []byte(bundle.Data["ca.crt"]), 0o600))
	cmd := exec.CommandContext(w.ctx, "go", "test", "-count=1", "-v", "./workloadauth")
	cmd.Env = append(os.Environ(),
		"LANYARD_E2E_KUBECONFIG="+lanyard.Cluster.Kubeconfig(),
		"LANYARD_E2E_WORKLOAD_URL=https://"+net.JoinHostPort(service.Spec.ClusterIP, "9443"),
		"LANYARD_E2E_WORKLOAD_CA="+ca,
		"LANYARD_E2E_WORKLOAD_NAME="+installation.Release+"-registry."+installation.Namespace+".svc",
	)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%d kinds of token refused", bytes.Count(out, []byte("--- PASS: TestHostileTokensAreRefusedAlike/")))
}
