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

// TestSecrecy lets pods of each delivery have what nobody else has, and looks for it wherever it must not be.
func TestSecrecy(t *testing.T) {
	t.Run("values", valuesStaySecret)
	t.Run("a pod's own token for a provider, and what it buys", tokensStaySecret)
}

// quiet is the command of a container that prints nothing of what it has: its log is the agent's alone.
var quiet = []string{"/probe", "files", "/dev/shm"} // which is empty

func valuesStaySecret(t *testing.T) {
	w := newWorld(t)
	// The container runtime may know what the kubelet knows, and nothing of the others.
	shared, hidden, refreshed := newCanary(), newCanary(), newCanary()
	w.put("canary", string(shared))
	w.put("hidden", string(hidden))
	w.create(w.pod("app", w.consumer("app", map[string]string{"CANARY": "canary"})))
	consumer := w.consumer("hidden", map[string]string{"HIDDEN": "hidden"})
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

	w.search(surfaces{
		logs: [][2]string{{"app", "lanyard-init"}, {"refused", "lanyard-init"}, {"sidecar", "lanyard-sidecar"}, {"direct", "app"}},
		api:  []string{"/secrets", "/secrets/canary", "/secrets/canary/versions", "/secrets/canary/references", "/consumers", "/audit-events", "/workloads"},
	}, map[string][]canary{"a value": {shared, hidden, refreshed}})
	known := false
	w.searchRuntime(map[string][]canary{"a value the kubelet never had": {hidden, refreshed}}, func(content []byte) { known = known || shared.in(content) != "" })
	if !known && lanyard.Cluster.Driver() == cluster.Host {
		t.Error("the container runtime's files do not hold what envfile gives it: they were not searched")
	}
}

// tokensStaySecret has pods read from Vault as themselves, be refused, and find Vault down. Their tokens pass through Lanyard, and what Vault gives for them is in its memory; neither is anywhere else.
func tokensStaySecret(t *testing.T) {
	v, r, w, consumer := startPassThrough(t, passThrough)

	w.create(w.pod("init", consumer))
	w.create(direct(w.pod("direct", consumer), quiet...))
	followed := w.following("sidecar", consumer, nil)
	followed.Spec.Containers[0].Command = quiet
	w.create(followed)
	denied := w.pod("denied", consumer)
	denied.Spec.ServiceAccountName = other
	w.create(denied)
	w.running("init")
	w.running("direct")
	w.await("sidecar", "ready", ready)
	v.put(w, account+"/db", map[string]string{"password": "changed"})
	w.sidecarLogs("sidecar", `"msg":"values refreshed"`)
	w.event("Pod", "denied", "Unresolved")
	w.must(lanyard.Cluster.StopVault(w.ctx))
	w.create(w.pod("waiting", consumer))
	w.awaitLogged("waiting", "lanyard-init", "provider_unavailable")

	if got, want := r.pods(), []string{"denied", "direct", "init", "sidecar", "waiting"}; !slices.Equal(got, want) {
		t.Fatalf("the tokens of pods %q went to Vault, want those of %q", got, want)
	}
	shown, bought := r.canaries()
	if len(bought) < 5 { // two looks of the sidecar
		t.Fatalf("Vault gave %d tokens: there is too little to look for", len(bought))
	}
	canaries := map[string][]canary{"a pod's token for Vault": shown, "a token of Vault's": bought}
	w.search(surfaces{
		logs: [][2]string{{"init", "lanyard-init"}, {"denied", "lanyard-init"}, {"waiting", "lanyard-init"}, {"sidecar", "lanyard-sidecar"}, {"direct", "app"}},
		api:  []string{"/secrets", "/providers", "/providers/vault", "/consumers", "/audit-events", "/workloads"},
	}, canaries)
	w.searchRuntime(canaries, func([]byte) {})
}

// surfaces are what is searched of one world, besides what every search looks at.
type surfaces struct {
	logs [][2]string // pod and container
	api  []string    // paths below the organization's
}

// search looks for canaries, each under what it is called, in everything but the pods themselves: what Kubernetes keeps and tells, every log, etcd's files, metrics, and the API's answers.
func (w *world) search(s surfaces, canaries map[string][]canary) {
	w.t.Helper()
	look := func(where string, content []byte) { w.look(where, content, canaries) }
	commands := map[string][]string{
		"Kubernetes objects":      {"get", "all,secrets,configmaps,events,mutatingwebhookconfigurations,validatingadmissionpolicies", "-A", "-o", "yaml"},
		"the registry's log":      {"logs", "-n", "lanyard", "-l", "app.kubernetes.io/component=registry", "--tail=-1"},
		"the injector's log":      {"logs", "-n", "lanyard", "-l", "app.kubernetes.io/component=injector", "--tail=-1"},
		"the description of pods": {"describe", "pods", "-n", w.namespace},
	}
	for _, log := range s.logs {
		commands["the log of "+log[1]+" of pod "+log[0]] = []string{"logs", "-n", w.namespace, log[0], "-c", log[1]}
	}
	for where, args := range commands {
		w.must(eventually(w.ctx, func() error { // a container may only just have started
			out, err := lanyard.Cluster.Kubectl(w.ctx, args...).Output()
			if err == nil && len(out) == 0 {
				err = errors.New(where + ": nothing to search")
			}
			look(where, out)
			return err
		}))
	}
	for _, component := range []string{"registry", "injector"} {
		metrics, err := lanyard.Metrics(w.ctx, component)
		w.must(err)
		look("the metrics of the "+component, metrics)
	}
	_, _, err := lanyard.StoredFiles(w.ctx, func(content []byte) error {
		look("etcd's files", content)
		return nil
	})
	w.must(err)
	w.must(eachFile(lanyard.Cluster.LogDir(), nil, func(path string, content []byte) { look("the log "+filepath.Base(path), content) }))
	for _, path := range s.api {
		var content json.RawMessage
		w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+path, nil, &content))
		look("the API's answer to "+path, content)
	}
}

// searchRuntime looks for canaries in what the container runtime keeps of pods, and shows each file to see. It does nothing with kind, whose node has a file system of its own.
func (w *world) searchRuntime(canaries map[string][]canary, see func(content []byte)) {
	w.t.Helper()
	if lanyard.Cluster.Driver() != cluster.Host {
		return
	}
	// The images and what containers write are no metadata, and namespaces are no files.
	skip := []string{"io.containerd.content.v1.content", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.overlayfs", "rootfs", "netns"}
	w.must(eachFile(filepath.Join(filepath.Dir(lanyard.Cluster.LogDir()), "containerd"), skip, func(path string, content []byte) {
		see(content)
		w.look("the container runtime's "+path, content, canaries)
	}))
}

func (w *world) look(where string, content []byte, canaries map[string][]canary) {
	w.t.Helper()
	for what, list := range canaries {
		for _, c := range list {
			if form := c.in(content); form != "" {
				w.t.Errorf("%s stands %s in %s", what, form, where)
			}
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
