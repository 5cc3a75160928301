// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
	"github.com/lanyard-dev/lanyard/registry/remote"
	"github.com/lanyard-dev/lanyard/registry/resolve"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func TestALeaseIsWrittenDownForThePodAndTheContainersThatAskForIt(t *testing.T) {
	server := &server{}
	s := vaulttest.New(t)
	var err error
	server.providers, err = remote.New(provider.Config{
		Types: []provider.Type{vault.Type()}, Host: provider.Host{Egress: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
	}, func(ctx context.Context) (remote.View, error) { return server.store.View(ctx) }, func() remote.Book { return server.store })
	if err != nil {
		t.Fatal(err)
	}
	client, _ := storetest.Etcd(t)
	server.store = storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t)), Providers: server.providers})
	t.Cleanup(func() { _ = server.providers.Close() })
	o, err := server.store.CreateOrganization(t.Context(), storetest.Act, store.Organization{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"address": s.Address(), "ca_bundle": s.CABundle(), "auth": map[string]string{"method": "approle", "role_id": "r"}})
	if err != nil {
		t.Fatal(err)
	}
	credentials := redact.New([]byte(`{"secret_id":"s"}`))
	p, err := server.store.CreateProvider(t.Context(), storetest.Act, o.ID, store.NewProvider{Name: "vault", Type: vault.Name, Config: config, Credentials: &credentials})
	if err != nil {
		t.Fatal(err)
	}

	ledger := lease.NewLedger(server.store, nil)
	defer ledger.Close()
	f := server.fetch(ledger)(resolve.Call{
		Principal:  authn.Principal{Cluster: "main", Namespace: "billing", ServiceAccount: "api", Pod: "api-1", PodUID: "uid", Node: "n1"},
		Containers: []string{"app", "side"}, Since: 3,
	})
	if _, err := f.Fetch(t.Context(), store.Secret{OrgID: o.ID, Remote: &store.Remote{ProviderID: p.ID, Path: "database/creds/app", Key: "username"}}); err != nil {
		t.Fatal(err)
	}
	f.End(true)
	var leases []store.Lease
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_ = server.store.FollowLeases(ctx, func(c store.LeaseChange) {
		if c.ID == "" {
			cancel()
			return
		}
		leases = append(leases, c.Lease)
	})
	want := store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api-1", UID: "uid", ServiceAccount: "api", Node: "n1"}
	if len(leases) != 1 || leases[0].Pod != want || !slices.Equal(leases[0].Containers, []string{"app", "side"}) || leases[0].Since != 3 {
		t.Errorf("written down: %+v", leases)
	}
}
