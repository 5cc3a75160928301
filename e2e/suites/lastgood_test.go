// SPDX-License-Identifier: Apache-2.0

package suites

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Counters of the registry.
const (
	keptGood = `lanyard_registry_provider_last_known_good_writes_total{outcome="ok"}`
	usedGood = `lanyard_registry_provider_last_known_good_total{outcome="used"}`
	noneGood = `lanyard_registry_provider_last_known_good_total{outcome="none"}`
)

// TestLastKnownGood stops a real Vault whose organization prefers an old value to waiting. TestRemote has the one that does not: its pods wait.
func TestLastKnownGood(t *testing.T) {
	v := startVault(t)
	v.allow(t, v.Address)

	t.Run("Vault down: the next pod starts with what was read last, and that is told everywhere", func(t *testing.T) {
		w, other := newWorld(t), newWorld(t)
		v.put(w, w.org+"/db", map[string]string{"password": "last", "user": "app"})
		w.provider(rememberedApprole(v.Address))
		w.remote("password", "kv/"+w.org+"/db", "password")
		w.remote("user", "kv/"+w.org+"/db", "user")
		w.put("local", "here")
		consumer := w.consumer("app", map[string]string{"PASSWORD": "password", "LOCAL": "local"})
		unread := w.consumer("unread", map[string]string{"USER_NAME": "user"})
		other.put("local", "there")
		stranger := other.consumer("app", map[string]string{"LOCAL": "local"})

		kept, began := w.counter(keptGood), time.Now()
		w.create(w.pod("before", consumer))
		w.running("before")
		w.awaitCounter(keptGood, kept+1)
		if env := w.received("before", "PASSWORD"); env.LastKnownGood || env.FetchedAt != "" {
			t.Errorf("a value that was read for the pod is told of as %+v", env)
		}
		w.create(w.following("followed", consumer, nil))
		w.await("followed", "ready", ready)
		w.awaitShown("followed", "PASSWORD", "last")
		used := w.counter(usedGood)
		w.must(lanyard.Cluster.StopVault(w.ctx))
		stopped := time.Now()

		w.create(w.pod("after", consumer))
		w.running("after")
		w.expectEnv("after", "app", map[string]string{"PASSWORD": "last", "LOCAL": "here"})
		w.awaitCounter(usedGood, used+1)
		for what, fetchedAt := range map[string]string{"the workload": w.received("after", "PASSWORD").lastGood(), "the audit event": w.released("after", "PASSWORD").lastGood()} {
			at, err := time.Parse(time.RFC3339, fetchedAt)
			if err != nil || at.Before(began.Truncate(time.Millisecond)) || at.After(stopped) { // one machine, one clock
				t.Errorf("%s says that the value was read at %q, want a time between %v and %v", what, fetchedAt, began, stopped)
			}
		}
		if env, grant := w.received("after", "LOCAL"), w.released("after", "LOCAL"); env.LastKnownGood || grant.LastKnownGood {
			t.Errorf("a local value is told of as %+v and %+v", env, grant)
		}
		w.awaitLogged("after", "lanyard-init", `"msg":"last known good value: the provider did not answer"`, `"env":"PASSWORD"`, `"secret_name":"password"`)

		// A pod that has values is given none that may be older, also when its sidecar does not know which they are.
		w.killSidecar("followed")
		w.awaitLogged("followed", "lanyard-sidecar", `"msg":"refresh failed, the files stay as they are"`)
		again, err := lanyard.Log(w.ctx, w.namespace, "followed", "lanyard-sidecar")
		w.must(err)
		if bytes.Contains(again, []byte("last known good value")) || w.shown("followed", "PASSWORD") != "last" {
			t.Errorf("a sidecar that was restarted did not keep its files: %s", again)
		}

		// What nobody has read is not there, and its pod waits.
		w.create(w.pod("unread", unread))
		w.awaitLogged("unread", "lanyard-init", "provider_unavailable", `"provider":"vault"`)
		w.expectPending("unread")

		// A dead Vault is nobody else's trouble: the other organization's pod is not refused even once.
		other.create(other.pod("stranger", stranger))
		other.running("stranger")
		other.expectEnv("stranger", "app", map[string]string{"LOCAL": "there"})
		log, err := lanyard.Log(other.ctx, other.namespace, "stranger", "lanyard-init")
		other.must(err)
		if !bytes.Contains(log, []byte(`"msg":"resolve succeeded"`)) || bytes.Contains(log, []byte("unresolved")) {
			t.Errorf("beside a Vault that is down, another organization's init agent logs %s", log)
		}

		v.start(t) // in memory: everything is gone
		v.put(w, w.org+"/db", map[string]string{"password": "next", "user": "app"})
		w.running("unread")
		w.create(w.pod("fresh", consumer))
		w.running("fresh")
		w.expectEnv("fresh", "app", map[string]string{"PASSWORD": "next"})
		if env := w.received("fresh", "PASSWORD"); env.LastKnownGood {
			t.Errorf("with Vault back, a value is told of as %+v", env)
		}
		w.awaitShown("followed", "PASSWORD", "next")
		w.expectEnv("after", "app", map[string]string{"PASSWORD": "last"})
		if env := w.received("after", "PASSWORD"); !env.LastKnownGood {
			t.Error("the pod that has the old value is not told of any more")
		}
	})

	t.Run("what Vault refused is not given when it is down afterwards", func(t *testing.T) {
		w := newWorld(t)
		v.put(w, w.org+"/db", map[string]string{"password": "revoked"})
		w.provider(rememberedApprole(v.Address))
		w.remote("password", "kv/"+w.org+"/db", "password")
		consumer := w.consumer("app", map[string]string{"PASSWORD": "password"})
		kept := w.counter(keptGood)
		w.create(w.pod("before", consumer))
		w.running("before")
		w.awaitCounter(keptGood, kept+1)

		w.must(v.Write(w.ctx, "sys/policies/acl/reader", map[string]any{"policy": `path "kv/data/` + w.org + `/*" { capabilities = ["deny"] }`}))
		refused := w.pod("refused", consumer)
		refused.Spec.RestartPolicy = corev1.RestartPolicyNever
		w.create(refused)
		w.expectEnd("refused", "lanyard-init", "provider_denied", "permission")

		none := w.counter(noneGood)
		w.must(lanyard.Cluster.StopVault(w.ctx))
		w.create(w.pod("after", consumer))
		w.awaitLogged("after", "lanyard-init", "provider_unavailable", `"provider":"vault"`)
		w.awaitCounter(noneGood, none+1)
		w.expectPending("after")

		v.start(t) // with the policy of before
		v.put(w, w.org+"/db", map[string]string{"password": "granted again"})
		w.running("after")
		w.expectEnv("after", "app", map[string]string{"PASSWORD": "granted again"})
		if env := w.received("after", "PASSWORD"); env.LastKnownGood {
			t.Errorf("a value that was read for the pod is told of as %+v", env)
		}
	})
}

// rememberedApprole is a provider whose values may be an hour old while Vault is silent.
func rememberedApprole(address string) map[string]any {
	provider := approle(address)
	provider["last_known_good"] = map[string]any{"maximum_age": "1h"}
	return provider
}

// lastGood is when a value that is not fresh was read; empty for one that is.
func (e workloadEnv) lastGood() string {
	if !e.LastKnownGood {
		return ""
	}
	return e.FetchedAt
}

// received is what the workload record of a pod tells of an ENV.
func (w *world) received(pod, env string) workloadEnv {
	w.t.Helper()
	for _, found := range w.workloads("?pod=" + pod) {
		for _, container := range found.Containers {
			for _, e := range container.Envs {
				if e.Name == env {
					return e
				}
			}
		}
	}
	w.t.Fatalf("no workload %s with ENV %s", pod, env)
	return workloadEnv{}
}

// released is what the newest audit event of a pod that got its values tells of an ENV; its version is not looked at.
func (w *world) released(pod, env string) workloadEnv {
	w.t.Helper()
	var list struct {
		Items []struct {
			Workload struct {
				Pod      string
				Released []struct {
					Env           string
					LastKnownGood bool   `json:"last_known_good"`
					FetchedAt     string `json:"fetched_at"`
				}
			}
		}
	}
	w.must(lanyard.API.Call(w.ctx, "GET", "/api/v1/organizations/"+w.org+"/audit-events?action=workload.resolve&outcome=allowed", nil, &list))
	for _, event := range list.Items {
		for _, e := range event.Workload.Released {
			if event.Workload.Pod == pod && e.Env == env {
				return workloadEnv{Name: e.Env, LastKnownGood: e.LastKnownGood, FetchedAt: e.FetchedAt}
			}
		}
	}
	w.t.Fatalf("no audit event of pod %s with ENV %s", pod, env)
	return workloadEnv{}
}

// counter is the sum of a counter of all registries, given with its labels as Prometheus is told them; 0 while there is none.
func (w *world) counter(series string) float64 {
	w.t.Helper()
	var text []byte
	w.must(eventually(w.ctx, func() (err error) {
		text, err = lanyard.Metrics(w.ctx, "registry")
		return err
	}))
	sum := 0.0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			w.must(err)
			sum += n
		}
	}
	return sum
}

func (w *world) awaitCounter(series string, atLeast float64) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		if got := w.counter(series); got < atLeast {
			return fmt.Errorf("%s is %v, want %v", series, got, atLeast)
		}
		return nil
	}))
}

// awaitLogged waits until one line of a container's log has all of these.
func (w *world) awaitLogged(pod, container string, parts ...string) {
	w.t.Helper()
	w.must(until(w.ctx, patience, func() error {
		log, err := lanyard.Log(w.ctx, w.namespace, pod, container)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(strings.Split(string(log), "\n"), func(line string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
		}) {
			return nil
		}
		return errors.New("container " + container + " of pod " + pod + " has not logged a line with " + strings.Join(parts, ", "))
	}))
}

// killSidecar kills a sidecar beside its containers, and waits until it runs again.
func (w *world) killSidecar(pod string) {
	w.t.Helper()
	of := func(p *corev1.Pod) corev1.ContainerStatus {
		i := slices.IndexFunc(p.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == "lanyard-sidecar" })
		if i < 0 {
			return corev1.ContainerStatus{}
		}
		return p.Status.InitContainerStatuses[i]
	}
	before := of(w.running(pod))
	processes, err := processesOf(before.ContainerID)
	w.must(err)
	w.must(syscall.Kill(processes[0].pid, syscall.SIGKILL))
	w.await(pod, "with its sidecar again", func(p *corev1.Pod) bool {
		return of(p).State.Running != nil && of(p).RestartCount > before.RestartCount
	})
}

func (w *world) expectPending(pod string) {
	w.t.Helper()
	got, err := lanyard.Client.CoreV1().Pods(w.namespace).Get(w.ctx, pod, metav1.GetOptions{})
	w.must(err)
	if got.Status.Phase != corev1.PodPending {
		w.t.Errorf("pod %s is %s without its secrets", pod, got.Status.Phase)
	}
}
