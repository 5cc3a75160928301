// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/lease"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

var leasePod = store.LeasePod{Cluster: "main", Namespace: "billing", Name: "api", UID: "uid", ServiceAccount: "api"}

// eventually waits until the server is as ok wants it.
func eventually(t *testing.T, s *vaulttest.Server, what string, ok func(*vaulttest.State) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		fine := false
		s.Change(func(st *vaulttest.State) { fine = ok(st) })
		if fine {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("never: %s", what)
}

// keep runs a keeper on a replica until the function it returns is called, or the test ends.
func (r *replica) keep(t *testing.T, pods lease.Pods) (stop func()) {
	t.Helper()
	k, err := lease.NewKeeper(lease.Config{Book: r.store, Providers: r.providers.Leases(), Pods: pods, Cluster: "main"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = k.Run(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func TestALeaseIsRenewedWithItsOwnTokenByAnotherReplicaAndRevokedWhenItsAnswerIsLost(t *testing.T) {
	server := vaulttest.New(t)
	server.Change(func(s *vaulttest.State) { s.LeaseTTL = 2 * time.Second })
	r := replicas(t, 2)
	p := r[0].organization(t, server)
	ledger := lease.NewLedger(r[0].store, nil)
	page := ledger.Begin(storetest.Act, leasePod)
	f := r[0].providers.Begin(page, true, nil)
	var got []string
	for _, key := range []string{"username", "password"} {
		v, err := f.Fetch(t.Context(), store.Secret{OrgID: p.OrgID, Remote: &store.Remote{ProviderID: p.ID, Path: "database/creds/app", Key: key}})
		if err != nil || !v.Leased {
			t.Fatalf("%+v, %v", v, err)
		}
		got = append(got, string(v.Value.Reveal()))
	}
	if strings.Join(got, " ") != "user-1 password-1" {
		t.Errorf("got %q, want the fields of one lease", got)
	}
	_ = r[0].providers.Close() // the replica that read it ends
	r[1].keep(t, nil)
	eventually(t, server, "it is renewed with the token it was made with", func(s *vaulttest.State) bool {
		return s.RenewedLeases["database/1"] >= 2 && s.Renewals >= 1 && s.Logins == 1
	})
	server.Change(func(s *vaulttest.State) {
		if s.Revoked != 0 || s.RevokedLeases["database/1"] != 0 {
			t.Errorf("tokens revoked %d times, the lease %d times", s.Revoked, s.RevokedLeases["database/1"])
		}
	})
	f.End(false)
	_ = ledger.Close()
	eventually(t, server, "it is revoked", func(s *vaulttest.State) bool { return s.RevokedLeases["database/1"] == 1 })
}

func TestWhatNobodyHoldsIsGivenBack(t *testing.T) {
	server := vaulttest.New(t)
	r := replicas(t, 1)[0]
	p := r.organization(t, server)
	fetch := func(page *lease.Page) error {
		f := r.providers.Begin(page, true, nil)
		defer f.End(false)
		_, err := f.Fetch(t.Context(), store.Secret{OrgID: p.OrgID, Remote: &store.Remote{ProviderID: p.ID, Path: "database/creds/app", Key: "username"}})
		return err
	}
	if err := fetch(nil); err != nil { // a check
		t.Fatal(err)
	}
	eventually(t, server, "the lease of a check is revoked", func(s *vaulttest.State) bool { return s.RevokedLeases["database/1"] == 1 })

	ledger := lease.NewLedger(full{}, nil)
	if err := fetch(ledger.Begin(storetest.Act, leasePod)); err == nil || !strings.Contains(err.Error(), "lease") {
		t.Errorf("a lease that could not be recorded was used: %v", err)
	}
	eventually(t, server, "the lease that was not recorded is revoked", func(s *vaulttest.State) bool { return s.RevokedLeases["database/2"] == 1 })
}

// A token goes to no server but the one that gave it, whoever edits the record: of leases too.
func TestALeaseOfARecordThatPointsElsewhereIsAbandonedAndItsTokenStaysWhereItIs(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, r *replica, p store.Provider, elsewhere *vaulttest.Server) error{
		"it points to another server": func(t *testing.T, r *replica, p store.Provider, elsewhere *vaulttest.Server) error {
			_, err := r.store.ReviseProvider(t.Context(), storetest.Act, p.OrgID, p.ID, 0, func(p *store.Provider) error { p.Config = config(elsewhere); return nil }, credentials("two"))
			return err
		},
		"it is deleted": func(t *testing.T, r *replica, p store.Provider, _ *vaulttest.Server) error {
			return r.store.DeleteProvider(t.Context(), storetest.Act, p.OrgID, p.ID, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, elsewhere := vaulttest.New(t), vaulttest.New(t)
			server.Change(func(s *vaulttest.State) { s.LeaseTTL = time.Hour })
			r := replicas(t, 1)[0]
			p := r.organization(t, server)
			ledger := lease.NewLedger(r.store, nil)
			t.Cleanup(func() { _ = ledger.Close() })
			f := r.providers.Begin(ledger.Begin(storetest.Act, leasePod), true, nil)
			if _, err := f.Fetch(t.Context(), store.Secret{OrgID: p.OrgID, Remote: &store.Remote{ProviderID: p.ID, Path: "database/creds/app", Key: "username"}}); err != nil {
				t.Fatal(err)
			}
			token := ""
			server.Change(func(s *vaulttest.State) { token = s.LeaseTokens["database/1"] })
			if token == "" {
				t.Fatal("the lease has no token")
			}
			elsewhere.Change(func(s *vaulttest.State) {
				s.Fault = func(w http.ResponseWriter, req *http.Request) bool {
					if req.Header.Get("X-Vault-Token") == token {
						t.Error("the token of a lease was shown to another server")
					}
					return false
				}
			})
			if err := change(t, r, p, elsewhere); err != nil {
				t.Fatal(err)
			}
			r.keep(t, nil)
			f.End(false) // it is to be revoked
			for deadline := time.Now().Add(time.Minute); ; {
				page, err := r.store.AuditEvents(t.Context(), p.OrgID, store.AuditQuery{})
				if err != nil {
					t.Fatal(err)
				}
				if e := page.Items[0]; e.Action == audit.LeaseAbandon {
					if e.Reason != lease.ProviderChanged || e.ResourceName != "vault:database/creds/app" || e.Workload.Pod != leasePod.Name {
						t.Errorf("audited: %+v", e)
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the newest event is %+v", page.Items[0])
				}
				select {
				case <-time.After(10 * time.Millisecond):
				case <-t.Context().Done():
				}
			}
			server.Change(func(s *vaulttest.State) {
				if s.RevokedLeases["database/1"] != 0 {
					t.Error("it was revoked, and abandoned")
				}
			})
		})
	}
}

// full is a ledger's store that takes nothing.
type full struct{ lease.Records }

func (full) GrantLease(context.Context, store.Act, store.Lease, redact.Value) (store.Lease, error) {
	return store.Lease{}, errors.New("etcd is down")
}
