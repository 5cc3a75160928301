// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// BenchmarkResolve is what one resolve of ten local ENVs costs here: the read barrier, shared by those who come at the same time, look-ups and decryption.
func BenchmarkResolve(b *testing.B) {
	s := storetest.Start(b)
	o := organization(b, s, "acme")
	var envs []store.Env
	for i := range 10 {
		name := fmt.Sprintf("secret-%d", i)
		local(b, s, o.ID, name, strings.Repeat("x", 40))
		envs = append(envs, store.Env{Name: fmt.Sprintf("E%d", i), SecretID: name})
	}
	consumer(b, s, o.ID, "ten", envs...)
	consumer(b, s, o.ID, "one", envs[:1]...)
	resolve := func(b *testing.B, view *store.View, name string) {
		c, ok := view.Consumer("acme", name)
		if !ok {
			b.Fatal("no consumer")
		}
		for _, e := range c.Envs {
			secret, ok := view.Secret(o.ID, e.SecretID)
			if !ok {
				b.Fatal("no secret")
			}
			value, err := view.OpenVersion(o.ID, secret.ID, secret.ActiveVersion)
			if err != nil {
				b.Fatal(err)
			}
			value.Wipe()
		}
	}
	view, err := s.View(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"one", "ten"} {
		b.Run(name+"/without barrier", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resolve(b, view, name)
			}
		})
		b.Run(name+"/with barrier", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			before := s.Stats().BarrierReads
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					view, err := s.View(b.Context())
					if err != nil {
						b.Error(err)
						return
					}
					resolve(b, view, name)
				}
			})
			b.ReportMetric(float64(s.Stats().BarrierReads-before)/float64(b.N), "reads/op")
		})
	}
}

// BenchmarkView is the read barrier alone, nobody to share it with.
func BenchmarkView(b *testing.B) {
	s := storetest.Start(b)
	for b.Loop() {
		if _, err := s.View(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutVersion(b *testing.B) {
	s := storetest.Start(b)
	o := organization(b, s, "acme")
	secret := local(b, s, o.ID, "db", "v")
	i := 0
	for b.Loop() {
		i++
		if _, _, err := s.PutVersion(b.Context(), act, o.ID, secret.ID, 0, *secretValue(fmt.Sprint(i)), true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAudit(b *testing.B) {
	s := storetest.Start(b)
	o := organization(b, s, "acme")
	event := audit.Event{OrgID: o.ID, Actor: "serviceaccount:billing/api", Action: audit.WorkloadResolve, Outcome: audit.Allowed}
	b.SetParallelism(64)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := s.AppendAudit(b.Context(), []audit.Event{event}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkAppendGrants is BenchmarkAppendAudit with what pods received: one ENV each, batches of 64 as package audit hands them over, every pod another one.
func BenchmarkAppendGrants(b *testing.B) {
	s := storetest.Start(b)
	o := organization(b, s, "acme")
	const batch = 64
	n := 0
	for b.Loop() {
		events := make([]audit.Event, batch)
		for i := range events {
			n++
			events[i] = released(b, o.ID, "billing", fmt.Sprintf("api-%d", n), 1, "app 0197a2b3-0000-7000-8000-00000000acae STRIPE_API_KEY 0197a2b3-0000-7000-8000-00000000acaf 1")
		}
		if err := s.AppendAudit(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/pod")
}

// BenchmarkOpen loads 10,000 secrets of 40 bytes, with one version each, and a consumer for every ten of them.
func BenchmarkOpen(b *testing.B) { benchmarkOpen(b, 10_000) }

// BenchmarkOpenLarge is BenchmarkOpen with ten times as many.
func BenchmarkOpenLarge(b *testing.B) { benchmarkOpen(b, 100_000) }

func benchmarkOpen(b *testing.B, secrets int) {
	client, _ := storetest.Etcd(b)
	config := store.Config{Client: client, Keys: storetest.Ring(b, storetest.Key(b)), AuditEvents: 100}
	func() {
		s := storetest.Open(b, config)
		var group errgroup.Group
		group.SetLimit(16)
		for i := range 20 {
			o := organization(b, s, fmt.Sprintf("org-%d", i))
			group.Go(func() error {
				var envs []store.Env
				for j := range secrets / 20 {
					secret, err := s.CreateSecret(b.Context(), act, o.ID, store.NewSecret{
						Name: fmt.Sprintf("team-%d-service-secret-%d", j%7, j), Value: secretValue(strings.Repeat("x", 40)), Labels: map[string]string{"team": "billing"},
					})
					if err != nil {
						return err
					}
					envs = append(envs, store.Env{Name: fmt.Sprintf("SECRET_%d", j), SecretID: secret.ID})
					if len(envs) == 10 {
						_, err := s.CreateConsumer(b.Context(), act, o.ID, store.Consumer{Name: fmt.Sprintf("service-%d", j), Kind: store.ConsumerService, Envs: envs,
							Bindings: []store.Binding{{Cluster: "prod", Namespace: "billing", ServiceAccount: "api"}}})
						if err != nil {
							return err
						}
						envs = nil
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
	}()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	b.ResetTimer()
	var s *store.Store
	for range b.N {
		var err error
		if s, err = store.Open(b.Context(), config); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric((float64(heap())-float64(before))/float64(secrets), "heap-B/secret")
	runtime.KeepAlive(s)
}
