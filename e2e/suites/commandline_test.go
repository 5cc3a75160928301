// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestCommandLine is the command lanyard with a kubectl, as an operator has them.
func TestCommandLine(t *testing.T) {
	t.Run("the doctor finds the installation well", func(t *testing.T) {
		w := newWorld(t)
		command, err := lanyard.CommandLine(w.ctx, t.TempDir())
		w.must(err)
		var findings struct {
			Items []struct{ Check, Result, Detail string }
		}
		w.must(eventually(w.ctx, func() error { // replicas of the suite before this one may still come up
			out, err := command.Run(w.ctx, "doctor", "--cluster", "-o", "json")
			if err != nil {
				return err
			}
			return json.Unmarshal([]byte(out), &findings)
		}))
		result := map[string]string{}
		for _, f := range findings.Items {
			t.Logf("%-10s %-8s %s", f.Check, f.Result, f.Detail)
			result[f.Check] = f.Result
		}
		for _, check := range []string{"webhook", "authority", "guard", "injector", "registry", "nodes", "rights"} {
			if result[check] != "ok" {
				t.Errorf("%s: %q", check, result[check])
			}
		}
	})

	t.Run("the doctor names what is missing", func(t *testing.T) {
		w := newWorld(t)
		command, err := lanyard.CommandLine(w.ctx, t.TempDir())
		w.must(err)
		bindings := lanyard.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
		list, err := bindings.List(w.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=lanyard"})
		w.must(err)
		if len(list.Items) != 1 {
			t.Fatalf("%d bindings of the guard", len(list.Items))
		}
		guard := list.Items[0]
		patch := func(actions string) {
			t.Helper()
			_, err := bindings.Patch(w.ctx, guard.Name, types.MergePatchType, []byte(`{"spec":{"validationActions":`+actions+`}}`), metav1.PatchOptions{})
			w.must(err)
		}
		before, err := json.Marshal(guard.Spec.ValidationActions)
		w.must(err)
		patch(`["Warn"]`)
		out, err := command.Run(w.ctx, "doctor", "--cluster")
		patch(string(before))
		if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(out, "without the action Deny") {
			t.Errorf("a guard that only warns: %v\n%s", err, out)
		}
	})

	t.Run("a command runs in the cluster with a consumer's values", func(t *testing.T) {
		const value = "job-canary 'quoted' \\n"
		w := newWorld(t)
		_, err := lanyard.Client.CoreV1().Namespaces().Patch(w.ctx, w.namespace, types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{})
		w.must(err)
		w.put("key", value)
		w.consumer("migrations", map[string]string{"KEY": "key"})
		command, err := lanyard.CommandLine(w.ctx, t.TempDir())
		w.must(err)
		job, err := command.As(lanyard.API.Token()).Run(w.ctx, "run", "--in-cluster", "--consumer", w.org+"/migrations",
			"-n", w.namespace, "--serviceaccount", account, "--image", lanyard.ProbeImage(), "--", "/probe", "print")
		w.must(err)
		if strings.Contains(job, value) {
			t.Error("the value stands in the Job")
		}
		create := lanyard.Cluster.Kubectl(w.ctx, "create", "-f", "-", "-o", "name")
		create.Stdin = strings.NewReader(job)
		out, err := create.Output()
		w.must(err)
		name := strings.TrimPrefix(strings.TrimSpace(string(out)), "job.batch/")
		w.must(until(w.ctx, patience, func() error {
			made, err := lanyard.Client.BatchV1().Jobs(w.namespace).Get(w.ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, c := range made.Status.Conditions {
				if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
					return nil
				}
			}
			return fmt.Errorf("job %s is not complete: %+v", name, made.Status)
		}))
		pods, err := lanyard.Client.CoreV1().Pods(w.namespace).List(w.ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + name})
		w.must(err)
		if len(pods.Items) != 1 {
			t.Fatalf("%d pods of the Job", len(pods.Items))
		}
		w.expectEnv(pods.Items[0].Name, "run", map[string]string{"KEY": value})
		objects, err := lanyard.Cluster.Kubectl(w.ctx, "get", "jobs,pods,events", "-n", w.namespace, "-o", "yaml").Output()
		w.must(err)
		for _, text := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if strings.Contains(string(objects), text) {
				t.Error("the value stands in an object")
			}
		}
	})
}
