// SPDX-License-Identifier: Apache-2.0

package vaultprovider

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// delete deletes the organization with everything in it.
func (n *tenancy) delete(t *testing.T) {
	t.Helper()
	if err := n.store.DeleteOrganization(t.Context(), act, n.provider.OrgID, 0, true); err != nil {
		t.Fatal(err)
	}
}

// left are the deletions that are not finished.
func (n *tenancy) left(t *testing.T) []store.Deletion {
	t.Helper()
	left, err := n.store.Deletions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// gone checks that nothing of the organization can be read any more.
func (n *tenancy) gone(t *testing.T) {
	t.Helper()
	until(t, "the organization is gone", func() bool { return len(n.left(t)) == 0 })
	if _, err := n.store.Provider(t.Context(), n.provider.OrgID, n.provider.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its provider: %v", err)
	}
}

func TestDeletingAnOrganizationRevokesItsLeasesAtVault(t *testing.T) {
	s := start(t)
	n := newTenancy(t, s)
	for i := range 3 {
		s.put(t, fmt.Sprint("leased/app", i), `{"a":"made","ttl":"1h"}`)
		n.start(t, fmt.Sprint("leased/app", i), true)
	}
	n.delete(t)
	for i := range 3 {
		until(t, "Vault has taken it back", func() bool { return len(s.leases(t, fmt.Sprint("leased/app", i))) == 0 })
	}
	n.gone(t)
	if got := n.revoked.Load(); got != 3 {
		t.Errorf("%d revocations", got)
	}
}

func TestTheLeasesOfADeletedOrganizationAreRevokedWhenVaultAnswersAgain(t *testing.T) {
	s := start(t)
	s.put(t, "leased/app", `{"a":"made","ttl":"1h"}`)
	n := newTenancy(t, s)
	n.start(t, "leased/app", true)
	s.signal(t, syscall.SIGSTOP) // nobody answers, and nobody hangs up
	n.delete(t)
	until(t, "revoking is tried again", func() bool { return n.failed.Load() >= 2 })
	if left := n.left(t); len(left) != 1 || left[0].Slug != "acme" || left[0].Leases != 1 {
		t.Errorf("left: %+v", left)
	}
	s.signal(t, syscall.SIGCONT)
	until(t, "Vault has taken it back", func() bool { return len(s.leases(t, "leased/app")) == 0 })
	n.gone(t)
	if got := n.revoked.Load(); got != 1 {
		t.Errorf("revoked %d times", got)
	}
}

// The lease is made while the organization is deleted: it cannot be recorded, and the provider's record is gone when it is given back.
func TestALeaseMadeWhileItsOrganizationIsDeletedIsGivenBack(t *testing.T) {
	s := start(t)
	s.put(t, "leased/app", `{"a":"made","ttl":"1h"}`)
	n := newTenancy(t, s)
	f := n.providers.Begin(n.ledger.Begin(act, store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: "uid", ServiceAccount: "api"}), false, nil)
	secret := store.Secret{OrgID: n.provider.OrgID, Remote: &store.Remote{ProviderID: n.provider.ID, Path: "leased/app", Key: "a"}}
	s.signal(t, syscall.SIGSTOP)
	fetched := make(chan error, 1)
	go func() { _, err := f.Fetch(t.Context(), secret); fetched <- err }()
	pause(t, reading)
	n.delete(t)
	s.signal(t, syscall.SIGCONT)
	if err := <-fetched; err == nil {
		t.Error("a value was given to a pod of an organization that is deleted")
	}
	f.End(false)
	until(t, "it is given back", func() bool { return len(s.leases(t, "leased/app")) == 0 })
	n.gone(t)
}

// reading is long enough for a fetch to be on its way, and short of its timeout. If it is not, the fetch fails before it makes a lease, and the test proves less.
const reading = 500 * time.Millisecond
