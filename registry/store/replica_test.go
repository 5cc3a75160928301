// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// replicas opens n stores on one etcd.
func replicas(t testing.TB, n int) []*store.Store {
	t.Helper()
	client, _ := storetest.Etcd(t)
	config := store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))}
	var all []*store.Store
	for range n {
		all = append(all, storetest.Open(t, config))
	}
	return all
}

func TestAnAcknowledgedWriteIsSeenByEveryReplicaAtOnce(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 3)
	o := organization(t, r[0], "acme")
	secret := local(t, r[0], o.ID, "counter", "0")
	var acknowledged atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	const writes = 150
	group.Go(func() error {
		for i := 1; i <= writes; i++ {
			if _, _, err := r[i%2].PutVersion(ctx, act, o.ID, secret.ID, 0, *secretValue(strconv.Itoa(i)), true); err != nil {
				return err
			}
			acknowledged.Store(int64(i))
		}
		return nil
	})
	for reader := range 6 {
		group.Go(func() error {
			for {
				floor := acknowledged.Load()
				if floor == writes {
					return nil
				}
				view, err := r[reader%3].View(ctx)
				if err != nil {
					return err
				}
				s, ok := view.Secret(o.ID, secret.ID)
				if !ok {
					return errors.New("the secret is gone")
				}
				value, err := view.OpenVersion(o.ID, secret.ID, s.ActiveVersion)
				if err != nil {
					return err
				}
				if got, _ := strconv.ParseInt(string(value.Reveal()), 10, 64); got < floor {
					return fmt.Errorf("replica %d returned %d after %d was acknowledged", reader%3, got, floor)
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestOfADeletionAndANewReferenceOneWins(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	o := organization(t, r[0], "acme")
	won := make(map[string]int)
	for i := range 60 {
		secret := local(t, r[0], o.ID, fmt.Sprintf("s%d", i), "v")
		var deleted, referred error
		var wg sync.WaitGroup
		wg.Go(func() { deleted = r[i%2].DeleteSecret(ctx, act, o.ID, secret.ID, 0, false) })
		wg.Go(func() {
			_, referred = r[(i/2)%2].CreateConsumer(ctx, act, o.ID, store.Consumer{
				Name: fmt.Sprintf("c%d", i), Kind: store.ConsumerService, Envs: []store.Env{{Name: "S", SecretID: secret.ID}},
			})
		})
		wg.Wait()
		switch {
		case deleted == nil && pointer(referred) == "/envs/0/secret":
			won["deletion"]++
		case referred == nil && errors.Is(deleted, store.ErrReferenced):
			won["reference"]++
		default:
			t.Fatalf("deletion: %v; reference: %v", deleted, referred)
		}
	}
	t.Log(won)
}

func TestOfManyCreationsOfOneNameOneWins(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 3)
	o := organization(t, r[0], "acme")
	var created, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			_, err := r[i%3].CreateSecret(ctx, act, o.ID, store.NewSecret{Name: "one"})
			switch {
			case err == nil:
				created.Add(1)
			case errors.Is(err, store.ErrExists):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || refused.Load() != 11 {
		t.Errorf("%d created, %d refused", created.Load(), refused.Load())
	}
}

func TestOneExpectedRevisionAdmitsOneWriter(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 3)
	o := organization(t, r[0], "acme")
	secret := local(t, r[0], o.ID, "db", "v")
	var written, conflicts atomic.Int64
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			_, _, err := r[i%3].PutVersion(ctx, act, o.ID, secret.ID, secret.Revision, *secretValue(strconv.Itoa(i)), true)
			switch {
			case err == nil:
				written.Add(1)
			case errors.Is(err, store.ErrConflict):
				conflicts.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if written.Load() != 1 || conflicts.Load() != 8 {
		t.Errorf("%d written, %d conflicts", written.Load(), conflicts.Load())
	}
}

func TestMutationsGoThroughWhileAuditEventsPourInOnAnotherReplica(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	o := organization(t, r[0], "acme")
	pouring, stop := context.WithCancel(ctx)
	var events atomic.Uint64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for pouring.Err() == nil {
				if err := r[1].AppendAudit(ctx, []audit.Event{{OrgID: o.ID, Action: audit.WorkloadResolve}}); err != nil {
					t.Error(err)
					return
				}
				events.Add(1)
			}
		})
	}
	const secrets = 40
	for i := range secrets {
		local(t, r[0], o.ID, fmt.Sprintf("s%d", i), "v")
	}
	stop()
	wg.Wait()
	if n, _, err := r[0].VerifyAudit(ctx, o.ID); err != nil || n != secrets+events.Load() {
		t.Errorf("the chain holds %d events, want %d: %v", n, secrets+events.Load(), err)
	}
}
