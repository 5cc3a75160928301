// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// odd are values that no env file can carry.
var odd = map[string]string{ // :: ENV → value
	"QUOTE":  "it's",
	"CRLF":   "a\r\nb\r\n",
	"EMPTY":  "",
	"BINARY": "\xff\xfe\x80'\n",
	"WIDE":   strings.Repeat("x", 64<<10), // one line of the largest value
}

// putBytes makes a secret of any bytes.
func (w *world) putBytes(name, value string) {
	w.t.Helper()
	w.must(lanyard.API.Call(w.ctx, "POST", "/api/v1/organizations/"+w.org+"/secrets",
		map[string]any{"name": name, "value_base64": base64.StdEncoding.EncodeToString([]byte(value))}, nil))
}

// oddConsumer has every awkward and odd value.
func (w *world) oddConsumer(more map[string]string) (consumer string, values map[string]string) {
	values = maps.Clone(awkward)
	maps.Copy(values, odd)
	maps.Copy(values, more)
	envs := map[string]string{}
	for env, value := range values {
		secret := "s-" + strings.ToLower(env)
		w.putBytes(secret, value)
		envs[env] = secret
	}
	return w.consumer("odd", envs), values
}

// chosen is what the status annotation tells of a container.
func chosen(t *testing.T, pod *corev1.Pod, container string) (delivery, why string) {
	t.Helper()
	var status struct {
		Containers []struct{ Name, Delivery, Why string }
	}
	if err := json.Unmarshal([]byte(pod.Annotations["lanyard.dev/status"]), &status); err != nil {
		t.Fatal(err)
	}
	for _, c := range status.Containers {
		if c.Name == container {
			return c.Delivery, c.Why
		}
	}
	t.Fatalf("the status does not tell of container %s", container)
	return "", ""
}

// restrict makes the pod one that the restricted Pod Security Standard allows, with a user that is not the agent's and a file system it cannot write.
func restrict(pod *corev1.Pod) {
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsUser: new(int64(12345)), RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
}

func TestDelivery(t *testing.T) {
	t.Run("exec carries what an env file cannot", func(t *testing.T) {
		w := newWorld(t)
		consumer, values := w.oddConsumer(nil)
		pod := w.pod("app", consumer)
		pod.Annotations["lanyard.dev/delivery"] = "exec"
		pod.Spec.Containers[0].Command = []string{"/probe"}
		restrict(pod)
		w.create(pod)
		w.running("app")
		w.expectEnv("app", "app", values)
		w.expectNoAgentEnv("app", "app")
		w.delete("app")
	})

	t.Run("file carries every byte", func(t *testing.T) {
		w := newWorld(t)
		consumer, values := w.oddConsumer(map[string]string{"NUL": "a\x00b"})
		pod := w.pod("app", consumer)
		pod.Annotations["lanyard.dev/delivery"] = "file"
		pod.Annotations["lanyard.dev/containers"] = "*"
		files := *pod.Spec.Containers[0].DeepCopy()
		files.Name, files.Command = "files", []string{"/probe", "files", "/run/lanyard/files"}
		pod.Spec.Containers = append(pod.Spec.Containers, files)
		restrict(pod)
		w.create(pod)
		w.running("app")
		w.expectEnv("app", "files", values) // printed alike
		paths := map[string]string{}
		for name := range values {
			paths[name+"_FILE"] = "/run/lanyard/files/" + name
		}
		w.expectEnv("app", "app", paths)
		w.delete("app")
	})

	t.Run("bundles hold all values, and a file may be its owner's alone", func(t *testing.T) {
		w := newWorld(t)
		w.put("user", "billing")
		w.put("password", `pa"ss=#word`)
		pod := w.pod("app", w.consumer("db", map[string]string{"DB_USER": "user", "DB_PASSWORD": "password"}))
		pod.Annotations["lanyard.dev/delivery"] = "file"
		pod.Annotations["lanyard.dev/files-bundle"] = "json,dotenv,properties"
		pod.Annotations["lanyard.dev/files-mode"] = "0444,DB_PASSWORD=0400"
		pod.Spec.Containers[0].Command = []string{"/probe", "files", "/run/lanyard/files"}
		restrict(pod)
		w.create(pod)
		w.running("app")
		w.expectEnv("app", "app", map[string]string{"DB_USER": "billing", "DB_PASSWORD": `pa"ss=#word`})
		files, err := lanyard.Env(w.ctx, w.namespace, "app", "app")
		w.must(err)
		var values map[string]string
		if err := json.Unmarshal(files["secrets.json"], &values); err != nil || !maps.Equal(values, map[string]string{"DB_USER": "billing", "DB_PASSWORD": `pa"ss=#word`}) {
			t.Errorf("secrets.json holds %d values that are not those put, %v", len(values), err)
		}
		for name, want := range map[string]string{
			"secrets.env":        "DB_PASSWORD='pa\"ss=#word'\nDB_USER='billing'\n",
			"secrets.properties": "DB_PASSWORD=pa\"ss=#word\nDB_USER=billing\n",
		} {
			if lines := slices.Sorted(strings.Lines(string(files[name]))); strings.Join(lines, "") != want {
				t.Errorf("%s has %d lines that are not those of the values put", name, len(lines))
			}
		}
		w.delete("app")
	})

	t.Run("auto chooses exec for them and says why", func(t *testing.T) {
		w := newWorld(t)
		w.put("quoted", odd["QUOTE"])
		w.put("plain", "value")
		pod := w.pod("app", w.consumer("app", map[string]string{"QUOTED": "quoted"}))
		pod.Annotations["lanyard.dev/containers"] = "*"
		pod.Annotations["lanyard.dev/consumer.second"] = w.consumer("plain", map[string]string{"PLAIN": "plain"})
		second := *pod.Spec.Containers[0].DeepCopy()
		pod.Spec.Containers[0].Command = []string{"/probe", "files", "/run/lanyard/values"} // which shows what is there to be read
		second.Name, second.Command = "second", nil
		third := *second.DeepCopy()
		third.Name, third.Command = "third", []string{"/probe", "exit", "5"}
		pod.Spec.Containers = append(pod.Spec.Containers, second, third)
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(pod)
		running := w.await("app", "started", func(p *corev1.Pod) bool {
			for _, s := range p.Status.ContainerStatuses {
				if s.State.Running == nil && s.State.Terminated == nil {
					return false
				}
			}
			return len(p.Status.ContainerStatuses) == 3
		})
		if delivery, why := chosen(t, running, "app"); delivery != "exec" || !strings.Contains(why, "QUOTED") || !strings.Contains(why, "single quote") {
			t.Errorf("app: %s because of %q", delivery, why)
		}
		if delivery, why := chosen(t, running, "second"); delivery != "envfile" || why != "auto" {
			t.Errorf("second: %s because of %q", delivery, why)
		}
		w.expectEnv("app", "third", map[string]string{"QUOTED": odd["QUOTE"]})
		w.expectEnv("app", "second", map[string]string{"PLAIN": "value"})
		w.expectEnv("app", "app", map[string]string{"environ": "lanyard-exec-1\x00QUOTED=" + odd["QUOTE"] + "\x00"})
		ended := w.await("app", "ended", func(p *corev1.Pod) bool {
			for _, s := range p.Status.ContainerStatuses {
				if s.Name == "third" && s.State.Terminated != nil {
					return true
				}
			}
			return false
		})
		for _, s := range ended.Status.ContainerStatuses {
			if s.Name == "third" && s.State.Terminated.ExitCode != 5 {
				t.Errorf("the wrapped command's exit code became %d", s.State.Terminated.ExitCode)
			}
		}
		w.delete("app")
	})

	t.Run("a wrapped container that restarts has its ENVs again", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", odd["QUOTE"])
		pod := w.pod("again", w.consumer("app", map[string]string{"KEY": "key"}))
		pod.Spec.Containers[0].Command = []string{"/probe", "print"}
		w.create(pod)
		w.await("again", "restarted", func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount >= 2
		})
		w.expectEnv("again", "app", map[string]string{"KEY": odd["QUOTE"]})
		w.delete("again")
	})

	t.Run("a command that is not there ends with 127 and says so", func(t *testing.T) {
		w := newWorld(t)
		w.put("key", "value")
		pod := w.pod("lost", w.consumer("app", map[string]string{"KEY": "key"}))
		pod.Annotations["lanyard.dev/delivery.app"] = "exec"
		pod.Spec.Containers[0].Command = []string{"no-such-command"}
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(pod)
		failed := w.await("lost", "failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		end := failed.Status.ContainerStatuses[0].State.Terminated
		if end == nil || end.ExitCode != 127 || !strings.Contains(end.Message, "no-such-command") {
			t.Errorf("the container ended with %+v, want exit code 127 and a message that names the command", end)
		}
		w.delete("lost")
	})
}
