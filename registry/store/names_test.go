// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestSecretNamesKeepsToItsOrganization(t *testing.T) {
	s := storetest.Start(t)
	acme, other := organization(t, s, "acme"), organization(t, s, "other")
	kept, deleted, foreign := local(t, s, acme.ID, "kept", "v"), local(t, s, acme.ID, "deleted", "v"), local(t, s, other.ID, "foreign", "v")
	if err := s.DeleteSecret(t.Context(), act, acme.ID, deleted.ID, 0, false); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().BarrierReads
	got, err := s.SecretNames(t.Context(), acme.ID, []string{kept.ID, deleted.ID, foreign.ID, "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{kept.ID: "kept", deleted.ID: "deleted"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if reads := s.Stats().BarrierReads - before; reads != 1 {
		t.Errorf("%d reads", reads)
	}
}
