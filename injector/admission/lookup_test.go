// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// laterFunc is a planner that looks something up for pods called slow.
type laterFunc func(ctx context.Context) mutate.Plan

func (f laterFunc) Plan(pod *mutate.Pod, _ string, dryRun bool) (mutate.Plan, func(context.Context) mutate.Plan) {
	if pod.Metadata.Name == "slow" && !dryRun {
		return mutate.Plan{}, f
	}
	return mutate.Plan{Decision: mutate.Injected, Reason: mutate.ReasonInjected}, nil
}

var slow = strings.Replace(strings.Replace(reviewOf, "%s", optedIn, 1), `"name":"web","labels"`, `"name":"slow","labels"`, 1)

func quick() string { return strings.Replace(reviewOf, "%s", optedIn, 1) }

func TestWhoWaitsForALookupHoldsNobodyUp(t *testing.T) {
	began, release := make(chan struct{}, maxWaiting), make(chan struct{})
	h := NewHandler(Config{Concurrency: 1, Metrics: NewMetrics(prometheus.NewPedanticRegistry()), Planner: laterFunc(func(context.Context) mutate.Plan {
		began <- struct{}{}
		<-release
		return mutate.Plan{Decision: mutate.Unchanged, Reason: mutate.ReasonInjected}
	})})
	answers := make(chan *httptest.ResponseRecorder, maxWaiting)
	for range maxWaiting {
		go func() { answers <- post(h, slow) }()
		<-began // it has given its place in the queue back
		if got := answer(t, post(h, quick())); !got.Allowed {
			t.Fatalf("another pod: %+v", got.Result)
		}
	}
	if got := answer(t, post(h, slow)); got.Allowed || got.Result.Code != http.StatusServiceUnavailable || !strings.Contains(got.Result.Message, "[image_config_unavailable]") {
		t.Errorf("one more: %+v", got.Result)
	}
	close(release)
	for range maxWaiting {
		if got := answer(t, <-answers); !got.Allowed {
			t.Errorf("one that waited: %+v", got.Result)
		}
	}
	if n := len(h.slots) + len(h.waiting); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

func TestADryRunLooksNothingUp(t *testing.T) {
	h, _ := newHandler(laterFunc(func(context.Context) mutate.Plan { panic("it looked") }))
	if got := answer(t, post(h, strings.Replace(slow, `"dryRun":false`, `"dryRun":true`, 1))); !got.Allowed {
		t.Errorf("%+v", got.Result)
	}
}

func TestALookupThatPanicsIsARefusal(t *testing.T) {
	h, _ := newHandler(laterFunc(func(context.Context) mutate.Plan { panic("boom") }))
	if got := answer(t, post(h, slow)); got.Allowed || got.Result.Code != http.StatusServiceUnavailable || !strings.Contains(got.Result.Message, "unexpected error") {
		t.Errorf("%+v", got.Result)
	}
	if len(h.waiting) != 0 {
		t.Error("its place is still taken")
	}
}

func TestALookupEndsBeforeTheAPIServerDoes(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"": maxLookup, "?timeout=30s": maxLookup, "?timeout=5s": maxLookup, "?timeout=4s": maxLookup, "?timeout=3s": 2 * time.Second, "?timeout=1s": 500 * time.Millisecond,
		"?timeout=0s": maxLookup, "?timeout=-1s": maxLookup, "?timeout=soon": maxLookup,
	} {
		if got := patience(httptest.NewRequest(http.MethodPost, Path+query, nil)); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	h, _ := newHandler(laterFunc(func(ctx context.Context) mutate.Plan {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the lookup has no end")
		}
		return mutate.Plan{Decision: mutate.Unchanged, Reason: mutate.ReasonInjected}
	}))
	_ = answer(t, post(h, slow))
}
