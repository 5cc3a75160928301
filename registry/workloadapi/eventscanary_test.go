// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-dev/lanyard/internal/events"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

// cluster tells of pods and takes Events, which it hands on as JSON.
type cluster struct {
	workload.Pods
	posted chan string
}

func (c cluster) Create(_ context.Context, e *eventsv1.Event) error {
	text, err := json.Marshal(e)
	c.posted <- string(text)
	return err
}

func (c cluster) Patch(_ context.Context, _, _ string, patch []byte) error {
	c.posted <- string(patch)
	return nil
}

// Pod returns the pod as one of a ReplicaSet.
func (c cluster) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	pod, err := c.Pods.Pod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	pod = pod.DeepCopy()
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "api", UID: "rs", Controller: new(true)}}
	return pod, nil
}

// awkward is a view whose values cannot be delivered, or be opened at all.
type awkward struct {
	view
	value string
	err   error
}

func (a awkward) OpenVersion(string, string, uint64) (redact.Value, error) {
	return redact.New([]byte(a.value)), a.err
}

// What stands in an Event is read by whoever may list Events.
func TestEventsHoldNoValue(t *testing.T) {
	for name, tc := range map[string]struct {
		view awkward
		says string
	}{
		"a value the delivery cannot carry":  {awkward{view{10}, canary + "'", nil}, "E0 of container app"},
		"an error of the store with a value": {awkward{view{10}, "", fmt.Errorf("opening: %w", errors.New(canary))}, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pods, err := authn.Dial(w.cluster.Client())
			if err != nil {
				t.Fatal(err)
			}
			api := cluster{pods, make(chan string, 16)}
			poster := events.New(events.Config{API: api, Controller: "lanyard.dev/registry", About: workload.WithController(api)})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); poster.Run(ctx) }()
			t.Cleanup(func() { cancel(); <-done })
			w.config.Events = workload.PodEvents{Poster: poster}
			w.config.Resolver = newResolver(t, tc.view, w.trail, w.config.Denied)
			do(w.handler(t), request(authntest.Good(w.cluster, "api-1"), body(1)))
			for _, kind := range []string{"Pod", "ReplicaSet"} {
				text := <-api.posted
				if !strings.Contains(text, `"regarding":{"kind":"`+kind+`"`) || !strings.Contains(text, tc.says) {
					t.Errorf("the Event is not of a %s, or does not say why: %s", kind, text)
				}
				if strings.Contains(text, canary) {
					t.Errorf("the value stands in %s", text)
				}
			}
		})
	}
}
