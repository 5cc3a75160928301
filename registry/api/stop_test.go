// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/workload"
)

// stops is a cluster whose pods can be stopped, except those it was told not to.
type stops struct {
	mu       sync.Mutex
	outcomes map[string]workload.Outcome // by pod; stopped if absent
	err      error
	said     []string
}

func (s *stops) Stop(_ context.Context, act store.Act, w store.Workload, o workload.StopOptions) (workload.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return "", s.err
	}
	s.said = append(s.said, fmt.Sprintf("%s by %s force=%t dry=%t", w.Pod, act.Actor, o.Force, o.DryRun))
	if outcome, ok := s.outcomes[w.Pod]; ok {
		return outcome, nil
	}
	return workload.Stopped, nil
}

// told returns what it was asked so far, in order of the pods, and forgets it.
func (s *stops) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.said
	s.said = nil
	slices.Sort(said)
	return said
}

func TestPodsAreStoppedAsTheStopperSays(t *testing.T) {
	cluster := &stops{outcomes: map[string]workload.Outcome{"api-2": workload.DisruptionBudget}}
	w := newWorld(t, func(c *api.Config) { c.Stopper = cluster })
	secret, consumer := w.billing()
	for _, pod := range []string{"api-1", "api-2"} {
		w.started(pod, consumer, secret)
	}
	const one, all = acme + "/workloads/uid-api-1/stop", acme + "/secrets/key/stop-workloads"
	asked := func(want ...string) {
		t.Helper()
		if got := cluster.told(); !slices.Equal(got, want) {
			t.Errorf("the stopper was asked for %q, want %q", got, want)
		}
	}

	stopped := decode[contract.StopResult](t, w.do("POST", one+"?dry_run=true", ""))
	if stopped.Pod != "api-1" || stopped.Namespace != "billing" || stopped.ID != "uid-api-1" || stopped.Message != workload.Outcomes[workload.Stopped] {
		t.Errorf("got %+v", stopped)
	}
	asked("api-1 by token:bootstrap force=false dry=true")
	// An answer that was lost is given again; the pod that has come since is not stopped by it.
	for range 2 {
		decode[contract.StopResult](t, w.do("POST", one+"?force=true", "", "Idempotency-Key", "stop-once-1"))
	}
	asked("api-1 by token:bootstrap force=true dry=false")

	list := decode[contract.StopResultList](t, w.do("POST", all, ""))
	var outcomes []string
	for _, r := range list.Items {
		outcomes = append(outcomes, r.Pod+" "+string(r.Outcome))
	}
	if want := []string{"api-1 stopped", "api-2 disruption_budget"}; !slices.Equal(outcomes, want) || list.More {
		t.Errorf("got %q, more %t; want %q", outcomes, list.More, want)
	}
	asked("api-1 by token:bootstrap force=false dry=false", "api-2 by token:bootstrap force=false dry=false")

	// Of the stale ones there is none before there is a newer version.
	if list := decode[contract.StopResultList](t, w.do("POST", all+"?stale=true", "")); len(list.Items) != 0 {
		t.Errorf("stopped as stale: %+v", list.Items)
	}
	w.do("POST", acme+"/secrets/key/versions", `{"value": "second"}`)
	w.started("api-3", consumer, contract.Secret{ID: secret.ID, Name: secret.Name})
	if list := decode[contract.StopResultList](t, w.do("POST", all+"?stale=true&dry_run=true", "")); len(list.Items) != 3 {
		t.Errorf("stopped as stale: %+v", list.Items)
	}
	cluster.told()

	w.expect("a stranger", w.as("User bob", "POST", all, ""), 404, contract.CodeNotFound)
	w.expect("a pod that is not there", w.do("POST", acme+"/workloads/uid-nothing/stop", ""), 404, contract.CodeNotFound)
	asked()
	cluster.err = errors.New("audit sink file: no space")
	w.expect("what cannot be audited", w.do("POST", one, ""), 503, "")
	w.expect("what cannot be audited", w.do("POST", all, ""), 503, "")
}

func TestOneRequestStopsAHundredPodsAtMost(t *testing.T) {
	cluster := new(stops)
	w := newWorld(t, func(c *api.Config) { c.Stopper = cluster })
	secret, consumer := w.billing()
	for n := range 101 {
		w.started(fmt.Sprintf("api-%03d", n), consumer, secret)
	}
	list := decode[contract.StopResultList](t, w.do("POST", acme+"/secrets/key/stop-workloads", ""))
	if len(list.Items) != 100 || !list.More || len(cluster.told()) != 100 {
		t.Errorf("%d results, more %t", len(list.Items), list.More)
	}
}
