// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

const probeImage = "registry.local/probe:1"

// fixture is the cluster under test and what its tests hand on.
type fixture struct {
	t       *testing.T
	cluster *cluster.Cluster
	client  kubernetes.Interface
	token   string
}

func newFixture(t *testing.T, c *cluster.Cluster) *fixture {
	t.Helper()
	config, err := c.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, cluster: c, client: client}
}

func probePod(name string) *corev1.Pod {
	no, grace := false, int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			EnableServiceLinks:            &no,
			Containers: []corev1.Container{{
				Name: "main", Image: probeImage, ImagePullPolicy: corev1.PullNever,
			}},
		},
	}
}

func (f *fixture) create(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if _, err := f.client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// runProbe runs the probe with args in a pod until it succeeds, and returns its output.
func (f *fixture) runProbe(t *testing.T, name string, args ...string) string {
	t.Helper()
	f.createOnce(t, name, args)
	f.awaitPhase(t, name, corev1.PodSucceeded)
	return f.awaitLog(t, name)
}

// failProbe is runProbe for what must not succeed.
func (f *fixture) failProbe(t *testing.T, name string, args ...string) string {
	t.Helper()
	f.createOnce(t, name, args)
	f.awaitPhase(t, name, corev1.PodFailed)
	return f.awaitLog(t, name)
}

func (f *fixture) createOnce(t *testing.T, name string, args []string) {
	t.Helper()
	pod := probePod(name)
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers[0].Args = args
	f.create(t, pod)
}

func (f *fixture) awaitRunning(t *testing.T, name string) {
	t.Helper()
	f.awaitPhase(t, name, corev1.PodRunning)
}

func (f *fixture) awaitPhase(t *testing.T, name string, phase corev1.PodPhase) {
	t.Helper()
	eventually(t, func() error {
		pod, err := f.client.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pod.Status.Phase != phase {
			return fmt.Errorf("pod %s is %s, want %s: %+v", name, pod.Status.Phase, phase, pod.Status.ContainerStatuses)
		}
		return nil
	})
}

// awaitLog returns the pod's log once there is one.
func (f *fixture) awaitLog(t *testing.T, name string) string {
	t.Helper()
	var log string
	eventually(t, func() error {
		out, err := f.client.CoreV1().Pods("default").GetLogs(name, &corev1.PodLogOptions{Container: "main"}).DoRaw(t.Context())
		if err != nil {
			return err
		}
		if log = string(out); log == "" {
			return errors.New("the log is empty")
		}
		return nil
	})
	return log
}

// dump puts the ends of all logs into the test's output.
func (f *fixture) dump() {
	logs, _ := filepath.Glob(filepath.Join(f.cluster.LogDir(), "*.log"))
	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.Split(string(content), "\n")
		f.t.Logf("%s:\n%s", path, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	pods, _ := f.cluster.Kubectl(contextForCleanup(), "describe", "pods").CombinedOutput()
	f.t.Logf("%s", pods)
}

// eventually polls across the process boundary until condition returns nil.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("within a minute: %v", err)
		case <-poll.C:
		}
	}
}

func getOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func vaultRequest(t *testing.T, vault *cluster.Vault, method, path, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, vault.Address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", vault.RootToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response
}

// contextForCleanup outlives the test's own, which has ended by then.
func contextForCleanup() context.Context { return context.Background() }
