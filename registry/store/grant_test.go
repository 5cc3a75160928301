// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestGrantsArePartOfTheSecretAndOfItsAuditTrail(t *testing.T) {
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	api, worker := store.Binding{Cluster: "main", Namespace: "billing", ServiceAccount: "api"}, store.Binding{Cluster: "main", Namespace: "billing", ServiceAccount: "worker"}
	secret, err := s.CreateSecret(t.Context(), act, o.ID, store.NewSecret{Name: "stripe", Value: secretValue("v"), Grants: []store.Binding{api}})
	if err != nil {
		t.Fatal(err)
	}
	given := []store.Binding{api, worker}
	grant := func(x *store.Secret) error { x.Grants = given; return nil }
	changed, err := s.UpdateSecret(t.Context(), act, o.ID, secret.ID, secret.Revision, grant)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.UpdateSecret(t.Context(), act, o.ID, secret.ID, 0, grant); err != nil || again.Revision != changed.Revision {
		t.Errorf("grants that are there already were written: %+v, %v", again, err)
	}
	given[0].ServiceAccount = "mallory" // what a caller keeps is none of the store's
	changed.Grants[1].ServiceAccount = "mallory"
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, _ := view.Secret(o.ID, secret.ID)
	if diff := cmp.Diff([]store.Binding{api, worker}, found.Grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	if _, err := s.UpdateSecret(t.Context(), act, o.ID, secret.ID, secret.Revision, grant); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old revision: %v", err)
	}
	events, err := s.AuditEvents(t.Context(), o.ID, store.AuditQuery{ResourceID: secret.ID, Limit: 1})
	if err != nil || events.Items[0].Action != audit.SecretUpdate {
		t.Fatalf("got %+v, %v", events, err)
	}
	if diff := cmp.Diff([]string{"grants"}, events.Items[0].Changed); diff != "" {
		t.Errorf("changed fields (-want +got):\n%s", diff)
	}
}
