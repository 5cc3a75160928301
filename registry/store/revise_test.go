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

func TestReviseSecretChangesMetadataAndValueTogether(t *testing.T) {
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	secret := local(t, s, o.ID, "stripe", "one")
	rename := func(x *store.Secret) error { x.Name, x.Description = "stripe-key", "d"; return nil }

	got, err := s.ReviseSecret(t.Context(), act, o.ID, secret.ID, secret.Revision, rename, secretValue("two"))
	if err != nil || got.Name != "stripe-key" || got.ActiveVersion != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	events, err := s.AuditEvents(t.Context(), o.ID, store.AuditQuery{ResourceID: secret.ID, Limit: 1})
	if err != nil || events.Items[0].Action != audit.SecretPut || events.Items[0].Version != 2 {
		t.Fatalf("got %+v, %v", events, err)
	}
	if diff := cmp.Diff([]string{"name", "description", "active_version"}, events.Items[0].Changed); diff != "" {
		t.Errorf("changed fields (-want +got):\n%s", diff)
	}

	if again, err := s.ReviseSecret(t.Context(), act, o.ID, secret.ID, 0, rename, secretValue("two")); err != nil || again.Revision != got.Revision {
		t.Errorf("what is so already was written: %+v, %v", again, err)
	}
	invalid := func(x *store.Secret) error { x.Name = "not a name"; return nil }
	if _, err := s.ReviseSecret(t.Context(), act, o.ID, secret.ID, 0, invalid, secretValue("three")); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("error = %v, want ErrInvalid", err)
	}
	if after, err := s.Secret(t.Context(), o.ID, secret.ID); err != nil || after.LastVersion != 2 || after.Revision != got.Revision {
		t.Errorf("a refused revision left traces: %+v, %v", after, err)
	}
}

func TestReviseSecretMakesARemoteSecretLocal(t *testing.T) {
	s := storetest.Start(t)
	o := organization(t, s, "acme")
	provider(t, s, o.ID, "vault")
	secret, err := s.CreateSecret(t.Context(), act, o.ID, store.NewSecret{Name: "x", Remote: &store.Remote{ProviderID: "vault", Path: "kv/x"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.ReviseSecret(t.Context(), act, o.ID, secret.ID, secret.Revision, func(x *store.Secret) error { x.Description = "d"; return nil }, secretValue("v"))
	if err != nil || got.Storage != store.StorageLocal || got.Remote != nil || got.ActiveVersion != 1 || got.Description != "d" {
		t.Fatalf("got %+v, %v", got, err)
	}
}
