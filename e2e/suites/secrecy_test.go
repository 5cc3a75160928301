// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lanyard-dev/lanyard/e2e/cluster"
)

// canary is a value nobody else has.
type canary string

func newCanary() canary { return canary("cAnArY" + rand.Text()) }

// in tells in which form the value stands in content; empty if it does not.
func (c canary) in(content []byte) string {
	for form, needle := range map[string]string{
		"in clear":  string(c),
		"in base64": base64.StdEncoding.EncodeToString([]byte(c))[:len(c)],
		"in hex":    hex.EncodeToString([]byte(c)),
	} {
		if bytes.Contains(content, []byte(needle)) {
			return form
		}
	}
	return ""
}

// TestSecrecy puts values nobody else has, lets pods of each delivery have them, and looks for them wherever they must not be.
func TestSecrecy(t *testing.T) {
	w := newWorld(t)
	// The container runtime may know what the kubelet knows, and nothing of the others.
	shared, hidden, refreshed := newCanary(), newCanary(), newCanary()
	canaries := []canary{shared, hidden, refreshed}
	w.put("canary", string(shared))
	w.put("hidden", string(hidden))
	w.create(w.pod("app", w.consumer("app", map[string]string{"CANARY": "canary"})))
	consumer := w.consumer("hidden", map[string]string{"HIDDEN": "hidden"})
	quiet := []string{"/probe", "files", "/dev/shm"} // which is empty, so that their logs are the agent's alone
	directed := direct(w.pod("direct", consumer), quiet...)
	shown := *directed.Spec.Containers[0].DeepCopy()
	shown.Name, shown.Command = "shown", []string{"/probe"}
	directed.Annotations["lanyard.dev/containers"] = "*"
	directed.Spec.Containers = append(directed.Spec.Containers, shown)
	w.create(directed)
	followed := w.following("sidecar", consumer, nil)
	followed.Spec.Containers[0].Command = quiet
	w.create(followed)
	refused := w.pod("refused", consumer) // an Event tells of it
	refused.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "e2e.lanyard.dev/hold"}}
	w.create(refused)

	w.running("app")
	w.expectEnv("app", "app", map[string]string{"CANARY": string(shared)})
	w.running("direct")
	w.expectEnv("direct", "shown", map[string]string{"HIDDEN": string(hidden)})
	w.await("sidecar", "ready", ready)
	w.put("hidden", string(refreshed))
	w.sidecarLogs("sidecar", `"msg":"values refreshed"`)
	if got := w.shown("sidecar", "HIDDEN"); got != string(refreshed) {
		t.Error("the file is not what was put")
	}
	w.must(lanyard.API.Call(w.ctx, "DELETE", "/api/v1/organizations/"+w.org+"/secrets/hidden?force=true", nil, nil))
	w.release("refused")
	w.event("Pod", "refused", "Unresolved")
	_, _ = lanyard.Create(w.ctx, lanyard.Pod(w.namespace, "stranger", "default", w.org+"/app"))

	search := func(where string, content []byte) {
		for _, c := range canaries {
			if form := c.in(content); form != "" {
				t.Errorf("a value stands %s in %s", form, where)
			}
		}
	}
	for where, args := range map[string][]string{
		"Kubernetes objects":                 {"get", "all,secrets,configmaps,events,mutatingwebhookconfigurations,validatingadmissionpolicies", "-A", "-o", "yaml"},
		"the registry's log":                 {"logs", "-n", "lanyard", "-l", "app.kubernetes.io/component=registry", "--tail=-1"},
		"the injector's log":                 {"logs", "-n", "lanyard", "-l", "app.kubernetes.io/component=injector", "--tail=-1"},
		"the init agent's log":               {"logs", "-n", w.namespace, "app", "-c", "lanyard-init"},
		"the init agent's log, when refused": {"logs", "-n", w.namespace, "refused", "-c", "lanyard-init"},
		"the sidecar's log":                  {"logs", "-n", w.namespace, "sidecar", "-c", "lanyard-sidecar"},
		"a direct container's log":           {"logs", "-n", w.namespace, "direct", "-c", "app"},
		"the description of them":            {"describe", "pods", "-n", w.namespace},
	} {
		w.must(eventually(w.ctx, func() error { // a container may only just have started
			out, err := lanyard.Cluster.Kubectl(w.ctx, args...).Output()
			if err == nil && len(out) == 0 {
				err = errors.New(where + ": nothing to search")
			}
			search(where, out)
			return err
		}))
	}
	_, _, err := lanyard.StoredFiles(w.ctx, func(content []byte) error {
		search("etcd's files", content)
		return nil
	})
	w.must(err)
	w.must(eachFile(lanyard.Cluster.LogDir(), nil, func(path string, content []byte) { search("the log "+filepath.Base(path), content) }))
	for _, path := range []string{"/secrets", "/secrets/canary", "/secrets/canary/versions", "/secrets/canary/references", "/consumers", "/audit-events", "/workloads"} {
		var content json.RawMessage
		w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+path, nil, &content))
		search("the API's answer to "+path, content)
	}
	if lanyard.Cluster.Driver() == cluster.Host { // kind's node has a file system of its own
		known := false
		// The images and what containers write are no metadata, and namespaces are no files.
		skip := []string{"io.containerd.content.v1.content", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.overlayfs", "rootfs", "netns"}
		w.must(eachFile(filepath.Join(filepath.Dir(lanyard.Cluster.LogDir()), "containerd"), skip, func(path string, content []byte) {
			known = known || shared.in(content) != ""
			for _, c := range []canary{hidden, refreshed} {
				if form := c.in(content); form != "" {
					t.Errorf("a value the kubelet never had stands %s in the container runtime's %s", form, path)
				}
			}
		}))
		if !known {
			t.Error("the container runtime's files do not hold what envfile gives it: they were not searched")
		}
	}
}

// eachFile reads the files below a directory, but for directories of these names. One that goes meanwhile is left out.
func eachFile(dir string, skip []string, read func(path string, content []byte)) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skip, entry.Name()):
			return filepath.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			read(path, content)
		}
		return err
	})
}
