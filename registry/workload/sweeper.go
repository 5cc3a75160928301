// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// Records are what pods received, as a [store.Store] keeps them.
type Records interface {
	GrantedPods(ctx context.Context, cluster string) ([]store.Pod, error)
	ForgetPods(ctx context.Context, cluster string, gone []store.Pod) error
}

// Pods reads one pod, now and from nobody's cache, as authn.Kubernetes does. Its error is one for which errors.IsNotFound of
// k8s.io/apimachinery/pkg/api/errors holds only if the API server said that there is none.
type Pods interface {
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
}

// Sweeper removes the records of pods that are gone. Several replicas may run one each: what one has removed, the others find removed.
type Sweeper struct {
	Cluster *Cluster
	Name    string // of the cluster
	Pods    Pods
	Records Records
	Log     *slog.Logger // nil discards

	// Every is the pause between two comparisons of all records with all pods, which find what no watch told; 10 minutes if 0.
	Every time.Duration
	// Settle is how long the pods that go are collected before their records are looked up, for all of them at once; 1 s if 0.
	Settle time.Duration

	mu      sync.Mutex
	live    map[string]struct{} // :: uid of a pod the API server told of
	left    []store.Pod         // told as deleted, and not looked at yet
	changed chan struct{}       // holds one
	listed  chan struct{}       // holds one: live is complete
}

// Run follows the pods and sweeps until ctx ends, and returns nil then. It retries everything itself.
func (s *Sweeper) Run(ctx context.Context) error {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.changed, s.listed = make(chan struct{}, 1), make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.follow(ctx)
	}()
	s.sweep(ctx)
	<-done
	return nil
}

// follow keeps live what the API server says.
func (s *Sweeper) follow(ctx context.Context) {
	const shortest, longest = time.Second, time.Minute
	pause, said := shortest, ""
	version := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := s.followOnce(ctx, &version)
		if ctx.Err() != nil {
			return
		}
		if err == nil || errors.Is(err, errExpired) {
			said = ""
		} else if text := err.Error(); text != said { // once for each trouble: it may last
			said = text
			s.Log.Warn("pods are not followed, so records of those that go stay", "err", err)
		}
		if err == nil || time.Since(began) > longest {
			pause = shortest
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return
		}
		if err != nil {
			pause = min(2*pause, longest)
		}
	}
}

// followOnce lists the pods if version is empty, and watches them from there.
func (s *Sweeper) followOnce(ctx context.Context, version *string) error {
	if *version == "" {
		live := make(map[string]struct{})
		at, err := s.Cluster.list(ctx, func(p store.Pod) { live[p.UID] = struct{}{} })
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.live = live
		s.mu.Unlock()
		*version = at
		signal(s.listed)
	}
	at, err := s.Cluster.watch(ctx, *version, s.there, s.gone)
	*version = at
	if errors.Is(err, errExpired) {
		*version = ""
	}
	return err
}

func (s *Sweeper) there(p store.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[p.UID] = struct{}{}
}

func (s *Sweeper) gone(p store.Pod) {
	s.mu.Lock()
	delete(s.live, p.UID)
	s.left = append(s.left, p)
	s.mu.Unlock()
	signal(s.changed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sweep removes records, of pods that go soon after they went, and of all that are gone after each full list and every now and then.
func (s *Sweeper) sweep(ctx context.Context) {
	ticker := time.NewTicker(cmp.Or(s.Every, 10*time.Minute))
	defer ticker.Stop()
	for {
		all := true
		select {
		case <-s.changed:
			all = false
			select {
			case <-time.After(cmp.Or(s.Settle, time.Second)):
			case <-ctx.Done():
				return
			}
		case <-s.listed:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := s.sweepOnce(ctx, all); err != nil && ctx.Err() == nil {
			s.Log.Warn("records of pods that are gone were not all removed", "err", err)
		}
	}
}

func (s *Sweeper) sweepOnce(ctx context.Context, all bool) error {
	s.mu.Lock()
	suspects, live := s.left, s.live != nil
	s.left = nil
	s.mu.Unlock()
	if all && live {
		granted, err := s.Records.GrantedPods(ctx, s.Name)
		if err != nil {
			return err
		}
		suspects = nil
		s.mu.Lock()
		for _, p := range granted {
			if _, ok := s.live[p.UID]; !ok {
				suspects = append(suspects, p)
			}
		}
		s.mu.Unlock()
	}
	// A pod that left the watch may only have lost its label; one that received values a moment ago may not be in the watch yet.
	var gone []store.Pod
	var errs []error
	for _, p := range suspects {
		is, err := s.isGone(ctx, p)
		if err != nil {
			if errs = append(errs, err); len(errs) == maxFailures {
				break // it does not answer
			}
		}
		if is {
			gone = append(gone, p)
		}
	}
	return errors.Join(append(errs, s.Records.ForgetPods(ctx, s.Name, gone))...)
}

// maxFailures is how many questions in one sweep may stay without an answer.
const maxFailures = 5

// isGone asks whether a pod is gone, or finished: it cannot come back in either case.
func (s *Sweeper) isGone(ctx context.Context, p store.Pod) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pod, err := s.Pods.Pod(ctx, p.Namespace, p.Name)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	}
	return string(pod.UID) != p.UID || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed, nil
}
