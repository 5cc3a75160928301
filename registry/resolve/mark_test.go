// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// refreshing is a pod that has values and asks again. Its world has marks.
type refreshing struct {
	*world
	call     resolve.Call
	key      string
	delivery wire.Delivery
	vault    string // the remote value
}

func newRefreshing() *refreshing {
	r := &refreshing{world: newWorld(), call: caller, key: "k1", delivery: wire.DeliveryFile, vault: canary + "-vault"}
	r.fetch = func(context.Context, string, store.Remote) (redact.Value, error) { return r.hand(r.vault), nil }
	return r
}

func (r *refreshing) resolve(t *testing.T, mark string) (*wire.ResolveResponse, *resolve.Refusal) {
	t.Helper()
	resolver, err := resolve.New(resolve.Config{
		View: func(context.Context) (resolve.View, error) { return r.world, r.viewErr }, Audit: r.world, Denied: denier{r.world},
		Fetch: func(resolve.Call) resolve.Fetcher { return r.world }, MarkKey: func() [32]byte { return sha256.Sum256([]byte(r.key)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	req, refusal := resolve.Parse(wire.ResolveRequest{Protocol: wire.Protocol, Mark: mark, Containers: []wire.ContainerRequest{
		{Name: "app", Consumer: "shop/web", Delivery: r.delivery, Envs: []string{"PLAIN", "STRIPE", "VAULT"}},
	}})
	if refusal != nil {
		t.Fatal(refusal)
	}
	return resolver.Resolve(t.Context(), r.call, req)
}

func (r *refreshing) secret(t *testing.T, change func(*store.Secret)) {
	t.Helper()
	s := r.secrets["o1/s1"]
	change(&s)
	r.secrets["o1/s1"] = s
}

func TestAPodThatHasTheValuesIsToldSoAndNothingElse(t *testing.T) {
	for name, tc := range map[string]struct {
		change    func(*testing.T, *refreshing)
		unchanged bool
	}{
		"nothing happened":              {func(*testing.T, *refreshing) {}, true},
		"the secret was renamed":        {func(t *testing.T, r *refreshing) { r.secret(t, func(s *store.Secret) { s.Name = "renamed" }) }, true},
		"another replica answers":       {func(_ *testing.T, r *refreshing) { r.call.RequestID, r.call.SourceIP = "r2", "10.0.0.8" }, true},
		"another version is active":     {func(t *testing.T, r *refreshing) { r.secret(t, func(s *store.Secret) { s.ActiveVersion = 1 }) }, false},
		"the remote value is another":   {func(_ *testing.T, r *refreshing) { r.vault += "2" }, false},
		"the plain value is another":    {func(_ *testing.T, r *refreshing) { r.consumers["shop/web"].Envs[0].Value = ptr("debug") }, false},
		"the ENV has another secret":    {func(_ *testing.T, r *refreshing) { r.consumers["shop/web"].Envs[2].SecretID = "s3" }, false},
		"the ENV is pinned to it":       {func(_ *testing.T, r *refreshing) { r.consumers["shop/web"].Envs[2].Version = 3 }, true},
		"the key is another":            {func(_ *testing.T, r *refreshing) { r.key = "k2" }, false},
		"another pod sends the mark":    {func(_ *testing.T, r *refreshing) { r.call.Principal.PodUID = "u2" }, false},
		"another delivery is asked for": {func(_ *testing.T, r *refreshing) { r.delivery = wire.DeliveryExec }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRefreshing()
			first, refusal := r.resolve(t, "")
			if refusal != nil || first.Mark == "" || first.Unchanged || len(first.Containers) != 1 {
				t.Fatalf("first: %+v, %v", first, refusal)
			}
			if r.events[0].Reason != "" {
				t.Errorf("the first release has reason %q", r.events[0].Reason)
			}
			tc.change(t, r)
			r.opened, r.events = nil, nil
			second, refusal := r.resolve(t, first.Mark)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if second.Unchanged != tc.unchanged || (second.Mark == first.Mark) != tc.unchanged {
				t.Fatalf("unchanged = %v, mark %q after %q", second.Unchanged, second.Mark, first.Mark)
			}
			if !tc.unchanged {
				if len(second.Containers) != 1 || len(r.events) != 1 || r.events[0].Reason != resolve.ReasonRefreshed || len(r.events[0].Workload.Released) != 3 {
					t.Errorf("%d containers, audit %+v", len(second.Containers), r.events)
				}
				return
			}
			if len(second.Containers) != 0 || len(r.events) != 0 {
				t.Errorf("%d containers, audit %+v", len(second.Containers), r.events)
			}
			for _, v := range r.opened {
				if strings.Contains(string(v.Reveal()), "cAnArY") {
					t.Error("a value that was not sent was not wiped")
				}
			}
		})
	}
}

// A mark opens nothing: whoever has lost the right to the values is refused as if he asked for the first time.
func TestAMarkDoesNotReplaceABinding(t *testing.T) {
	r := newRefreshing()
	first, refusal := r.resolve(t, "")
	if refusal != nil {
		t.Fatal(refusal)
	}
	for name, tc := range map[string]struct {
		change func(*refreshing)
		want   wire.Code
	}{
		"the binding is gone":   {func(r *refreshing) { r.call.Principal.ServiceAccount = "other" }, wire.CodeNotBound},
		"the secret is deleted": {func(r *refreshing) { delete(r.secrets, "o1/s1") }, wire.CodeUnresolved},
		"the store is down":     {func(r *refreshing) { r.viewErr = store.ErrUnavailable }, wire.CodeStoreUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRefreshing()
			tc.change(r)
			if got, refusal := r.resolve(t, first.Mark); refusal == nil || refusal.Problem.Code != tc.want {
				t.Errorf("got %+v, %v, want %s", got, refusal, tc.want)
			}
		})
	}
}

func TestMarksShowNothingOfValues(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*refreshing){
		"as it is":     func(*refreshing) {},
		"another pod":  func(r *refreshing) { r.call.Principal.PodUID = "u2" },
		"another key":  func(r *refreshing) { r.key = "k2" },
		"a longer one": func(r *refreshing) { r.vault = strings.Repeat(canary, 1000) },
		"none":         func(r *refreshing) { r.vault = "" },
	} {
		r := newRefreshing()
		change(r)
		got, refusal := r.resolve(t, "")
		if refusal != nil {
			t.Fatal(name, refusal)
		}
		if other, ok := seen[got.Mark]; ok || len(got.Mark) != 43 || len(got.Mark) > wire.MaxMarkBytes {
			t.Errorf("%s: mark %q, which is also that of %q", name, got.Mark, other)
		}
		seen[got.Mark] = name
	}
}
