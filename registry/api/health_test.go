// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"testing"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

func TestAProviderTellsItsHealth(t *testing.T) {
	w := newWorld(t)
	w.organization("acme")
	server := vaulttest.New(t)
	created := w.vault("acme", "vault", server.Address(), server.CABundle(), vaulttest.StaticToken, "kv")
	get := func() contract.Provider {
		t.Helper()
		return decode[contract.Provider](t, w.do("GET", acme+"/providers/vault", ""))
	}
	if created.Health.Status != contract.ProviderHealthStatusUnknown || created.Health.CheckedAt != nil {
		t.Errorf("created: %+v", created.Health)
	}
	w.do("POST", acme+"/providers/vault/test", "")
	well := get()
	if h := well.Health; h.Status != contract.ProviderHealthStatusHealthy || h.CheckedAt == nil || h.LastSuccessAt == nil || h.ErrorCode != nil || well.Etag != created.Etag {
		t.Errorf("after a test: %+v, ETag %s, before %s", h, well.Etag, created.Etag)
	}
	changed := decode[contract.Provider](t, w.do("PATCH", acme+"/providers/vault", `{"credentials":{"token":"nobody"}}`))
	if changed.Health.Status != contract.ProviderHealthStatusUnknown {
		t.Errorf("with other credentials: %+v", changed.Health)
	}
	w.do("POST", acme+"/providers/vault/test", "")
	if h := get().Health; h.Status != contract.ProviderHealthStatusFailing || or(h.ErrorCode) != "provider_denied" || or(h.ErrorReason) != "credentials" || h.LastSuccessAt != nil {
		t.Errorf("after a test of those: %+v", h)
	}
	list := decode[contract.ProviderList](t, w.do("GET", acme+"/providers", ""))
	if len(list.Items) != 1 || list.Items[0].Health.Status != contract.ProviderHealthStatusFailing {
		t.Errorf("listed: %+v", list.Items)
	}
}
