// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

// cluster is an API server with pods and a watch of them, and the records of what they received.
type cluster struct {
	t       *testing.T
	server  *httptest.Server
	log     bytes.Buffer
	events  chan string // lines for the watch; closing a watch is an empty one
	swept   chan []string
	mu      sync.Mutex
	pods    map[string]*corev1.Pod // :: name → pod, as a read of one pod tells it
	listed  []string               // names in the list
	granted []store.Pod
	lists   int
	down    bool
	expired bool
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, events: make(chan string, 16), swept: make(chan []string, 16), pods: map[string]*corev1.Pod{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/pods", c.serve)
	c.server = httptest.NewServer(mux)
	t.Cleanup(c.server.Close)
	return c
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("labelSelector") != "lanyard.dev/inject=true" || q.Get("fieldSelector") != "status.phase!=Succeeded,status.phase!=Failed" || !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		c.t.Errorf("asked for %s as %s", r.URL.RawQuery, r.Header.Get("Accept"))
	}
	w.Header().Set("Content-Type", "application/json")
	if q.Get("watch") == "" {
		c.list(w, q.Get("continue"))
		return
	}
	c.mu.Lock()
	expired := c.expired
	c.expired = false
	c.mu.Unlock()
	if expired {
		c.receive("missed", "gone")
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
		return
	}
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case line := <-c.events:
			if line == "" {
				return
			}
			fmt.Fprintln(w, line)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// list answers in two pages.
func (c *cluster) list(w http.ResponseWriter, more string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var items []any
	for i, name := range c.listed {
		if (i == 0) == (more == "") {
			items = append(items, object(name))
		}
	}
	meta := map[string]string{"resourceVersion": "7"}
	if more == "" {
		c.lists++
		meta["continue"] = "more"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"metadata": meta, "items": items})
}

func object(name string) map[string]any {
	return map[string]any{"metadata": map[string]string{"namespace": "shop", "name": name, "uid": "uid-" + name, "resourceVersion": "8"}}
}

func event(kind, name string) string {
	line, _ := json.Marshal(map[string]any{"type": kind, "object": object(name)})
	return string(line)
}

// Pod implements workload.Pods.
func (c *cluster) Pod(_ context.Context, _, name string) (*corev1.Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, apierrors.NewServiceUnavailable("down")
	}
	if p, ok := c.pods[name]; ok {
		return p, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name)
}

func (c *cluster) GrantedPods(_ context.Context, name string) ([]store.Pod, error) {
	if name != "eu" {
		c.t.Errorf("records of cluster %q", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.granted), nil
}

// ForgetPods tells every sweep, also an empty one.
func (c *cluster) ForgetPods(_ context.Context, _ string, gone []store.Pod) error {
	names := make([]string, 0, len(gone))
	for _, p := range gone {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	c.mu.Lock()
	c.granted = slices.DeleteFunc(c.granted, func(p store.Pod) bool { return slices.Contains(gone, p) })
	c.mu.Unlock()
	c.swept <- names
	return nil
}

// receive makes pods that received values, as the API server has them: running, of a phase, gone, or replaced by one of the same name.
func (c *cluster) receive(name string, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.granted = append(c.granted, store.Pod{Namespace: "shop", Name: name, UID: "uid-" + name})
	pod := new(corev1.Pod)
	pod.UID = types.UID("uid-" + name)
	switch state {
	case "gone":
		return
	case "replaced":
		pod.UID = "another"
	default:
		pod.Status.Phase = corev1.PodPhase(state)
	}
	c.pods[name] = pod
}

func (c *cluster) run() {
	c.t.Helper()
	api, err := workload.Dial(&rest.Config{Host: c.server.URL})
	if err != nil {
		c.t.Fatal(err)
	}
	s := &workload.Sweeper{Cluster: api, Name: "eu", Pods: c, Records: c, Settle: time.Millisecond, Log: slog.New(slog.NewTextHandler(&c.log, nil))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
}

func (c *cluster) wants(want ...string) {
	c.t.Helper()
	got := <-c.swept
	if !slices.Equal(got, want) {
		c.t.Errorf("forgot %v, want %v", got, want)
	}
}

func TestTheFirstListForgetsWhatWentMeanwhile(t *testing.T) {
	c := newCluster(t)
	c.listed = []string{"running", "second"}
	c.receive("running", "Running")
	c.receive("second", "Running")
	c.receive("gone", "gone")
	c.receive("replaced", "replaced")
	c.receive("done", "Succeeded")
	c.receive("unlabelled", "Running") // somebody took the label off: it still has what it has
	c.run()
	c.wants("done", "gone", "replaced")
}

func TestAPodIsForgottenSoonAfterItIsGone(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.wants()
	c.receive("web", "gone")
	c.receive("unlabelled", "Running")
	c.events <- event("ADDED", "web")
	c.events <- event("BOOKMARK", "")
	c.events <- event("DELETED", "unlabelled")
	c.wants()
	c.events <- event("DELETED", "web")
	c.wants("web")
	c.events <- "" // a watch that ends is continued
	c.receive("later", "gone")
	c.events <- event("DELETED", "later")
	c.wants("later")
	if c.lists != 1 {
		t.Errorf("%d lists", c.lists)
	}
}

func TestAWatchThatExpiredBeginsWithAList(t *testing.T) {
	c := newCluster(t)
	c.expired = true
	c.run()
	c.wants()
	c.wants("missed") // by the second list
}

func TestAClusterThatDoesNotAnswerTakesNothingAway(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.wants()
	c.receive("web", "gone")
	c.mu.Lock()
	c.down = true
	c.mu.Unlock()
	c.events <- event("DELETED", "web")
	c.wants()
	if len(c.granted) != 1 {
		t.Error("the record is gone")
	}
}
