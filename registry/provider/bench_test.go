// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lanyard-dev/lanyard/internal/egress"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// BenchmarkFetch is what the manager itself costs: the provider answers at once.
func BenchmarkFetch(b *testing.B) {
	doc := document(`{"a":"value","b":"another"}`)
	f := &fake{record: map[string]Record{"p1": {ID: "p1", Type: "fake"}}, answer: func(context.Context, Ref) (Document, error) { return doc, nil }}
	m, err := NewManager(Config{Records: f, Types: []Type{f.kind()}, Host: Host{Egress: &egress.Guard{}}, Concurrency: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	for _, paths := range []int{1, 1000} {
		b.Run(fmt.Sprintf("paths=%d", paths), func(b *testing.B) {
			var n atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := m.Fetch(b.Context(), "org", store.Remote{ProviderID: "p1", Path: fmt.Sprint(n.Add(1) % int64(paths)), Key: "a"}); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkStorm is a thousand starts at once on one path of a server that takes 2 ms, and reports what they cost the server.
func BenchmarkStorm(b *testing.B) {
	doc := document(`{"a":"value"}`)
	f := &fake{record: map[string]Record{"p1": {ID: "p1", Type: "fake"}}, answer: func(context.Context, Ref) (Document, error) {
		time.Sleep(2 * time.Millisecond)
		return doc, nil
	}}
	m, err := NewManager(Config{Records: f, Types: []Type{f.kind()}, Host: Host{Egress: &egress.Guard{}}})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	for b.Loop() {
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if _, err := m.Fetch(b.Context(), "org", store.Remote{ProviderID: "p1", Path: "kv/db", Key: "a"}); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
	b.ReportMetric(float64(f.reads.Load())/float64(b.N), "reads/storm")
}
