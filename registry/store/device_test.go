// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

func device(t testing.TB, s *store.Store, code, text string) store.Device {
	t.Helper()
	d, err := s.CreateDevice(t.Context(), act, store.Device{Host: "laptop", Client: "lanyard/1", SourceIP: "192.0.2.7", ExpiresAt: time.Now().Add(10 * time.Minute)}, code,
		func(string) [32]byte { return sum(text) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func redeem(t testing.TB, s *store.Store, d store.Device, text string) (store.Session, error) {
	t.Helper()
	return s.RedeemDevice(t.Context(), act, d.ID, sum(text), store.Session{Kind: store.SessionCLI, ExpiresAt: time.Now().Add(time.Hour), Idle: time.Hour},
		func(string) [32]byte { return sum("session of " + text) })
}

func TestADeviceIsLetInOnOneReplicaAndRedeemedOnceOnAnother(t *testing.T) {
	ctx, r := t.Context(), replicas(t, 2)
	s, other := r[0], r[1]
	d := device(t, s, "CODE", "text")
	found, err := other.DeviceByCode(ctx, "CODE")
	if err != nil || found.ID != d.ID || found.Host != "laptop" || found.SourceIP != "192.0.2.7" {
		t.Fatalf("got %+v, %v", found, err)
	}
	if polled, err := other.PollDevice(ctx, d.ID, sum("text")); err != nil || polled.Decision != store.DeviceWaiting {
		t.Errorf("got %+v, %v", polled, err)
	}
	for what, err := range map[string]error{
		"another code":             second(s.DeviceByCode(ctx, "CODF")),
		"another text":             second(s.PollDevice(ctx, d.ID, sum("other"))),
		"another id":               second(s.PollDevice(ctx, "0197a2b3-0000-7000-8000-000000000000", sum("text"))),
		"redeemed before a person": second(redeem(t, s, d, "text")),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := other.DecideDevice(ctx, store.Act{Actor: alice}, d.ID, store.DeviceApproved, store.Person{Principal: alice, Name: "Alice"}); err != nil {
		t.Fatal(err)
	}
	if err := s.DecideDevice(ctx, store.Act{Actor: deployer}, d.ID, store.DeviceRefused, store.Person{Principal: deployer}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("decided again: %v", err)
	}
	if _, err := s.DeviceByCode(ctx, "CODE"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the code after the decision: %v", err)
	}
	if _, err := redeem(t, s, d, "other"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("redeemed with another text: %v", err)
	}

	var made []store.Session
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			n, err := redeem(t, r[i%2], d, "text")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made = append(made, n)
			} else if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("redeeming: %v", err)
			}
		})
	}
	all.Wait()
	if len(made) != 1 || made[0].Principal != alice || made[0].Name != "Alice" || made[0].Client != "lanyard/1 on laptop" || made[0].Kind != store.SessionCLI {
		t.Fatalf("sessions %+v", made)
	}
	if list, err := s.Sessions(ctx, alice); err != nil || len(list) != 1 || list[0].ID != made[0].ID {
		t.Errorf("got %+v, %v", list, err)
	}
	events, err := s.AuditEvents(ctx, "", store.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range events.Items {
		actions = append(actions, string(e.Action)+" by "+e.Actor)
	}
	if got := strings.Join(actions, ", "); got != "session.create by "+alice+", device.approve by "+alice {
		t.Errorf("the log has %q", got)
	}
}

func TestARefusedDeviceGetsNoSessionAndIsToldSo(t *testing.T) {
	ctx, s := t.Context(), storetest.Start(t)
	d := device(t, s, "CODE", "text")
	if err := s.DecideDevice(ctx, act, d.ID, store.DeviceRefused, store.Person{Principal: alice}); err != nil {
		t.Fatal(err)
	}
	if polled, err := s.PollDevice(ctx, d.ID, sum("text")); err != nil || polled.Decision != store.DeviceRefused {
		t.Errorf("got %+v, %v", polled, err)
	}
	if _, err := redeem(t, s, d, "text"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("redeemed: %v", err)
	}
}

func TestADeviceEndsAndNothingOfItsCodesIsReadable(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	device(t, s, "VISIBLE-CODE", "text")
	resp, err := client.Get(ctx, store.DefaultPrefix+"devic", clientv3.WithPrefix())
	if err != nil || resp.Count != 2 {
		t.Fatalf("%d keys, %v", resp.Count, err)
	}
	for _, kv := range resp.Kvs {
		if kv.Lease == 0 {
			t.Errorf("%s has no lease", kv.Key)
		}
		if strings.Contains(string(kv.Key)+string(kv.Value), "VISIBLE") {
			t.Errorf("%s holds the code", kv.Key)
		}
	}
	if _, err := s.CreateDevice(ctx, act, store.Device{ExpiresAt: time.Now().Add(time.Minute)}, "VISIBLE-CODE", func(string) [32]byte { return sum("x") }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a code given twice: %v", err)
	}
	for name, end := range map[string]time.Time{"before it begins": time.Now().Add(-time.Second), "too late": time.Now().Add(store.MaxDeviceLife + time.Minute)} {
		if _, err := s.CreateDevice(ctx, act, store.Device{ExpiresAt: end}, name, func(string) [32]byte { return sum("x") }); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("one that ends %s: %v", name, err)
		}
	}
	short, err := s.CreateDevice(ctx, act, store.Device{ExpiresAt: time.Now().Add(50 * time.Millisecond)}, "SHORT", func(string) [32]byte { return sum("s") })
	if err != nil {
		t.Fatal(err)
	}
	for { // until its time is over, which nothing but the clock decides
		if _, err := s.PollDevice(ctx, short.ID, sum("s")); errors.Is(err, store.ErrNotFound) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DecideDevice(ctx, act, short.ID, store.DeviceApproved, store.Person{Principal: alice}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("approved after its end: %v", err)
	}
}

func TestThereIsAnEndToHowManyDevicesWait(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	for i := range store.MaxDevices {
		if _, err := client.Put(ctx, store.DefaultPrefix+"devices/"+strconv.Itoa(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.CreateDevice(ctx, act, store.Device{ExpiresAt: time.Now().Add(time.Minute)}, "CODE", func(string) [32]byte { return sum("x") })
	if !errors.Is(err, store.ErrTooMany) {
		t.Errorf("got %v", err)
	}
}

func TestADeviceThatSomebodyWroteIntoEtcdIsNobodys(t *testing.T) {
	ctx := t.Context()
	client, _ := storetest.Etcd(t)
	s := storetest.Open(t, store.Config{Client: client, Keys: storetest.Ring(t, storetest.Key(t))})
	a, b := device(t, s, "A", "a"), device(t, s, "B", "b")
	resp, err := client.Get(ctx, store.DefaultPrefix+"devices/"+a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(ctx, store.DefaultPrefix+"devices/"+b.ID, string(resp.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PollDevice(ctx, b.ID, sum("a")); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("got %v", err)
	}
}
