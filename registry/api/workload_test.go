// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// started records that a pod of consumer billing received version 1 of a secret, as the start of a pod does. Its uid is uid-<pod>.
func (w *world) started(pod string, consumer contract.Consumer, secret contract.Secret) {
	w.t.Helper()
	err := w.store.AppendAudit(w.t.Context(), []audit.Event{{
		OrgID: consumer.OrganizationID, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Action: audit.WorkloadResolve, Outcome: audit.Allowed,
		Workload: &audit.Workload{Cluster: "default", Namespace: "billing", ServiceAccount: "api", Pod: pod, PodUID: "uid-" + pod, Released: []audit.Grant{
			{Container: "app", Consumer: "acme/billing", ConsumerID: consumer.ID, Env: "KEY", Secret: secret.Name, SecretID: secret.ID, Version: 1},
		}},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// billing makes an organization acme with a secret and a consumer of it.
func (w *world) billing() (contract.Secret, contract.Consumer) {
	w.t.Helper()
	w.do("POST", "/api/v1/organizations", `{"slug": "acme"}`)
	secret := decode[contract.Secret](w.t, w.do("POST", "/api/v1/organizations/acme/secrets", `{"name": "key", "value": `+quote(canary)+`}`))
	consumer := decode[contract.Consumer](w.t, w.do("POST", "/api/v1/organizations/acme/consumers",
		`{"name": "billing", "envs": [{"name": "KEY", "secret": "key"}], "bindings": [{"namespace": "billing", "service_account": "api"}]}`))
	return secret, consumer
}

func TestRunningPodsAreToldOfAndHoldASecret(t *testing.T) {
	const acme = "/api/v1/organizations/acme"
	w := newWorld(t)
	secret, consumer := w.billing()
	w.started("api-1", consumer, secret)
	w.started("api-2", consumer, secret)
	w.do("POST", acme+"/secrets/key/versions", `{"value": "second"}`)

	version := uint64(1)
	stale := contract.StalenessVersion
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := contract.Workload{
		ID: "uid-api-1", OrganizationID: secret.OrganizationID, Cluster: "default", Namespace: "billing", Pod: "api-1", ServiceAccount: "api", ReceivedAt: at, Stale: true,
		Containers: []contract.WorkloadContainer{{Name: "app", Consumer: "billing", ReceivedAt: at, Envs: []contract.WorkloadEnv{
			{Name: "KEY", Secret: &secret.Name, SecretID: secret.ID, Version: &version, Stale: &stale},
		}}},
	}
	list := decode[contract.WorkloadList](t, w.do("GET", acme+"/workloads?secret=key&consumer=billing&namespace=billing&stale=true&page_size=1", ""))
	if diff := cmp.Diff([]contract.Workload{want}, list.Items); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if list.NextPageToken == nil {
		t.Fatal("the list ends early")
	}
	rest := decode[contract.WorkloadList](t, w.do("GET", acme+"/workloads?secret=key&consumer=billing&namespace=billing&stale=true&page_token="+*list.NextPageToken, ""))
	if len(rest.Items) != 1 || rest.Items[0].Pod != "api-2" || rest.NextPageToken != nil {
		t.Errorf("the second page: %+v", rest)
	}
	if diff := cmp.Diff(want, decode[contract.Workload](t, w.do("GET", acme+"/workloads/uid-api-1", ""))); diff != "" {
		t.Errorf("one (-want +got):\n%s", diff)
	}
	if p := w.do("GET", acme+"/workloads/uid-nothing", "").problem(t); p.Code() != contract.CodeNotFound {
		t.Errorf("an unknown pod: %+v", p)
	}

	// The consumer lets go of it; the pods still have it.
	w.do("DELETE", acme+"/consumers/billing", "", "If-Match", "*")
	references := []contract.Reference{
		{Kind: "workload", ID: "uid-api-1", Name: "billing/api-1", Field: "container app env KEY"},
		{Kind: "workload", ID: "uid-api-2", Name: "billing/api-2", Field: "container app env KEY"},
	}
	refused := w.do("DELETE", acme+"/secrets/key", "").problem(t)
	if diff := cmp.Diff(&references, refused.References); refused.Code() != contract.CodeReferenced || diff != "" {
		t.Errorf("delete: %s, references (-want +got):\n%s", refused.Code(), diff)
	}
	var pods []store.Pod
	for _, name := range []string{"api-1", "api-2"} {
		pods = append(pods, store.Pod{Namespace: "billing", Name: name, UID: "uid-" + name})
	}
	if err := w.store.ForgetPods(t.Context(), "default", pods); err != nil {
		t.Fatal(err)
	}
	if a := w.do("DELETE", acme+"/secrets/key", ""); a.status != 204 {
		t.Errorf("delete after the pods are gone: %s", a.body)
	}
}

// A pod that started while a provider was silent is told of with the time its value is of, and so is the event of its start.
func TestAValueThatWasNotFreshIsToldOfWithItsTime(t *testing.T) {
	const acme = "/api/v1/organizations/acme"
	w := newWorld(t)
	secret, consumer := w.billing()
	read := time.Date(2026, 3, 1, 11, 23, 0, 456e6, time.UTC)
	if err := w.store.AppendAudit(t.Context(), []audit.Event{{
		OrgID: consumer.OrganizationID, Time: read.Add(time.Hour), Action: audit.WorkloadResolve, Outcome: audit.Allowed,
		Workload: &audit.Workload{Cluster: "default", Namespace: "billing", ServiceAccount: "api", Pod: "api-1", PodUID: "uid-api-1", Released: []audit.Grant{
			{Container: "app", Consumer: "acme/billing", ConsumerID: consumer.ID, Env: "KEY", Secret: secret.Name, SecretID: secret.ID, LastKnownGood: true, FetchedAt: read},
			{Container: "app", Consumer: "acme/billing", ConsumerID: consumer.ID, Env: "FRESH", Secret: secret.Name, SecretID: secret.ID, Version: 1},
		}},
	}}); err != nil {
		t.Fatal(err)
	}
	type told struct {
		Old *bool
		At  *time.Time
	}
	yes := true
	want := []told{{&yes, &read}, {}}
	var record, event []told
	for _, e := range decode[contract.Workload](t, w.do("GET", acme+"/workloads/uid-api-1", "")).Containers[0].Envs {
		record = append(record, told{e.LastKnownGood, e.FetchedAt})
	}
	for _, g := range *decode[contract.AuditEventList](t, w.do("GET", acme+"/audit-events?action=workload.resolve", "")).Items[0].Workload.Released {
		event = append(event, told{g.LastKnownGood, g.FetchedAt})
	}
	for where, got := range map[string][]told{"the workload": record, "the event": event} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", where, diff)
		}
	}
}
