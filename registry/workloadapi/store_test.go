// SPDX-License-Identifier: Apache-2.0

package workloadapi_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/authntest"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
	"github.com/lanyard-dev/lanyard/registry/workloadapi"
)

// TestWithARealStore goes the whole way: etcd, the audit log in it, and an API server that reviews.
func TestWithARealStore(t *testing.T) {
	ctx := t.Context()
	act := store.Act{Actor: "token:test", RequestID: "r"}
	s := storetest.Start(t)
	org, err := s.CreateOrganization(ctx, act, store.Organization{Slug: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	first := redact.New([]byte(canary + "-1"))
	secret, err := s.CreateSecret(ctx, act, org.ID, store.NewSecret{Name: "stripe", Storage: store.StorageLocal, Value: &first})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConsumer(ctx, act, org.ID, store.Consumer{
		Name: "web", Kind: store.ConsumerService, Envs: []store.Env{{Name: "E0", SecretID: "stripe"}},
		Bindings: []store.Binding{{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}},
	}); err != nil {
		t.Fatal(err)
	}

	log, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Func("store", s.AppendAudit)}})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- log.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t)
	w.config.Denied = audit.NewDenials(log.Record, nil)
	w.config.Names = workloadapi.StoreNames(s, w.config.Cluster)
	w.config.Resolver, err = resolve.New(resolve.Config{
		View: func(ctx context.Context) (resolve.View, error) { return s.View(ctx) }, Audit: log, Denied: w.config.Denied,
	})
	if err != nil {
		t.Fatal(err)
	}
	h := w.handler(t)
	token := authntest.Good(w.cluster, "api-1")
	value := func() string {
		t.Helper()
		answer := do(h, request(token, body(1)))
		text := read(t, answer)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", answer.StatusCode, text)
		}
		got, err := wire.DecodeResponse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Containers[0].Envs[0].Value.Reveal())
	}
	if got := value(); got != canary+"-1" {
		t.Errorf("the first value was not resolved")
	}
	// What was acknowledged is what the next resolve sees.
	if _, _, err := s.PutVersion(ctx, act, org.ID, secret.ID, 0, redact.New([]byte(canary+"-2'")), true); err != nil {
		t.Fatal(err)
	}
	if p := problem(t, do(h, request(token, body(1)))); p.Code != wire.CodeUnresolved || p.Items[0].Code != wire.CodeUnrepresentable {
		t.Errorf("a value with a quote: %+v", p)
	}
	if _, err := s.ActivateVersion(ctx, act, org.ID, secret.ID, 0, 1); err != nil {
		t.Fatal(err)
	}
	if got := value(); got != canary+"-1" {
		t.Errorf("the version that was activated again was not resolved")
	}
	page, err := s.AuditEvents(ctx, org.ID, store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var trail []string
	for _, e := range page.Items {
		if e.Action == audit.WorkloadResolve {
			trail = append(trail, string(e.Outcome)+" "+e.Reason)
		}
	}
	if diff := cmp.Diff([]string{"allowed ", "denied unresolved", "allowed "}, trail); diff != "" {
		t.Errorf("the organization's audit trail, newest first (-want +got):\n%s", diff)
	}

	// The names stream tells of the consumer, of the end of the beginning, and of a value that no longer fits.
	watching, leave := context.WithCancel(ctx)
	defer leave()
	changes := w.config.Names(watching)
	if c := <-changes; c.Ref != (ref.Consumer{Org: "shop", Name: "web"}) || c.Consumer == nil || c.View == nil {
		t.Errorf("first change = %+v", c)
	}
	if c := <-changes; !c.Synced {
		t.Errorf("second change = %+v, want synced", c)
	}
	if _, err := s.ActivateVersion(ctx, act, org.ID, secret.ID, 0, 2); err != nil {
		t.Fatal(err)
	}
	c := <-changes
	if v, _ := c.View.Version(org.ID, secret.ID, 2); c.Consumer == nil || v.NoEnvfile == "" {
		t.Errorf("change after the activation = %+v", c)
	}
	leave()
	for range changes { // ends
	}
}
