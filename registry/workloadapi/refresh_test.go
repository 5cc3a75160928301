// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
)

func TestARefreshOfWhatThePodHasReleasesNothing(t *testing.T) {
	w := newWorld(t)
	resolver, err := resolve.New(resolve.Config{
		View: func(context.Context) (resolve.View, error) { return view{10}, nil }, Audit: w.trail, Denied: w.config.Denied,
		MarkKey: func() [32]byte { return sha256.Sum256([]byte("key")) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.config.Resolver, w.config.Budget = resolver, 3
	h := w.handler(t)
	token := authntest.Good(w.cluster, "api-1")
	ask := func(mark string) *wire.ResolveResponse {
		t.Helper()
		answer := do(h, request(token, strings.Replace(body(2), `{"protocol":1`, `{"protocol":1,"mark":"`+mark+`"`, 1)))
		text := read(t, answer)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", answer.StatusCode, text)
		}
		got, err := wire.DecodeResponse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := ask("")
	for range 10 { // more often than the budget allows releases
		if got := ask(first.Mark); !got.Unchanged || got.Mark != first.Mark || len(got.Containers) != 0 {
			t.Fatalf("refresh: %+v", got)
		}
	}
	if got := ask("another"); got.Unchanged || len(got.Containers) != 1 || got.Mark != first.Mark {
		t.Errorf("with another mark: %+v", got)
	}
	events := w.trail.recorded()
	if len(events) != 2 || events[0].Reason != "" || events[1].Reason != resolve.ReasonRefreshed {
		t.Errorf("audit: %+v", events)
	}
	for labels, want := range map[[2]string]float64{{"ok", "resolve"}: 1, {"unchanged", "refresh"}: 10, {"ok", "refresh"}: 1} {
		if n := testutil.ToFloat64(metric(t, w, "lanyard_registry_workload_requests_total", labels[0], labels[1])); n != want {
			t.Errorf("%v requests of route %s ended with %s, want %v", n, labels[1], labels[0], want)
		}
	}
	if lines := strings.Count(w.logs.String(), "\n"); lines != 2 {
		t.Errorf("%d lines were logged, want one for each release: %s", lines, w.logs.String())
	}

	over := strings.Replace(body(1), `{"protocol":1`, `{"protocol":1,"mark":"`+strings.Repeat("m", wire.MaxMarkBytes+1)+`"`, 1)
	if p := problem(t, do(h, request(token, over))); p.Code != wire.CodeInvalid {
		t.Errorf("a mark that is too long: %+v", p)
	}
	unbound := strings.Replace(strings.Replace(body(1), `{"protocol":1`, `{"protocol":1,"mark":"`+first.Mark+`"`, 1), "shop/web", "shop/other", 1)
	if p := problem(t, do(h, request(token, unbound))); p.Code != wire.CodeNotBound {
		t.Errorf("a mark without a binding: %+v", p)
	}
}
