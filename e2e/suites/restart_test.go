// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestRestart restarts the kubelet alone, and then kills every container: with each delivery they must fare as one that is not injected.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.put("key", "first")
	consumer := w.consumer("app", map[string]string{"KEY": "key"})
	deliveries := map[string]string{"plain": "", "envfile": "first", "exec": "first", "direct": "second", "file": "first"} // :: pod → the value after a restart
	for name := range deliveries {
		pod := lanyard.Pod(w.namespace, name, account, "")
		if name != "plain" {
			pod = w.pod(name, consumer)
			pod.Annotations["lanyard.dev/delivery"] = name
		}
		pod.Spec.Containers[0].Command = []string{"/probe"}
		if name == "file" {
			pod.Spec.Containers[0].Command = []string{"/probe", "follow", filesDir}
		}
		w.create(pod)
	}
	before := map[string]corev1.ContainerStatus{}
	for name := range deliveries {
		before[name] = w.running(name).Status.ContainerStatuses[0]
	}
	has := func(name, value string) error {
		env, err := lanyard.Env(w.ctx, w.namespace, name, "app")
		switch {
		case err != nil:
			return err
		case string(env["KEY"]) != value:
			return fmt.Errorf("pod %s does not have the value expected", name)
		}
		return nil
	}
	for name, value := range deliveries {
		if value != "" {
			w.must(eventually(w.ctx, func() error { return has(name, "first") }))
		}
	}
	w.put("key", "second")

	t.Run("the kubelet restarts: what runs goes on with what it has", func(t *testing.T) {
		w.must(lanyard.Cluster.RestartKubelet(w.ctx, nil))
		w.create(w.pod("next", consumer)) // the new kubelet is at work
		w.running("next")
		w.expectEnv("next", "app", map[string]string{"KEY": "second"})
		for name, value := range deliveries {
			status := w.running(name).Status.ContainerStatuses[0]
			if status.ContainerID != before[name].ContainerID || status.RestartCount != 0 || status.State.Running == nil {
				t.Errorf("pod %s: its container was restarted: %+v", name, status)
			}
			if value != "" {
				w.must(has(name, "first"))
			}
		}
	})

	t.Run("a wrapped command is the container's only process, and its first", func(t *testing.T) {
		for name := range deliveries {
			processes, err := processesOf(before[name].ContainerID)
			w.must(err)
			if len(processes) != 1 || processes[0].inside != 1 || processes[0].name != "probe" {
				t.Errorf("pod %s: %+v, want the probe alone", name, processes)
			}
		}
	})

	t.Run("a container that is killed reports 137 and starts again with its values", func(t *testing.T) {
		for name := range deliveries {
			processes, err := processesOf(before[name].ContainerID)
			w.must(err)
			w.must(syscall.Kill(processes[0].pid, syscall.SIGKILL))
		}
		for name, value := range deliveries {
			pod := w.await(name, "running again", func(p *corev1.Pod) bool {
				s := p.Status.ContainerStatuses
				return len(s) == 1 && s[0].RestartCount == 1 && s[0].State.Running != nil
			})
			if end := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; end == nil || end.ExitCode != 137 || end.Message != "" {
				t.Errorf("pod %s: its container ended with %+v, want exit code 137 alone", name, end)
			}
			if value != "" {
				w.must(eventually(w.ctx, func() error { return has(name, value) }))
			}
		}
	})
}

// process is one of a container, as this machine sees it.
type process struct {
	pid, inside int // inside is its id in the container
	name        string
}

// processesOf finds the processes in a container's control group. The node is this machine, or shares its kernel.
func processesOf(containerID string) (found []process, err error) {
	_, id, _ := strings.Cut(containerID, "://")
	if id == "" {
		return nil, fmt.Errorf("container id %q is none", containerID)
	}
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	for _, path := range groups {
		group, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(group, []byte(id)) { // gone, or another's
			continue
		}
		dir := filepath.Dir(path)
		p := process{}
		if p.pid, err = strconv.Atoi(filepath.Base(dir)); err != nil {
			return nil, err
		}
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(status)) {
			switch fields := strings.Fields(line); fields[0] {
			case "Name:":
				p.name = fields[1]
			case "NSpid:":
				if p.inside, err = strconv.Atoi(fields[len(fields)-1]); err != nil {
					return nil, err
				}
			}
		}
		found = append(found, p)
	}
	if len(found) == 0 {
		return nil, errors.New("no process is in the control group of container " + id)
	}
	return found, nil
}
