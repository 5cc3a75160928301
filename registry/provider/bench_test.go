// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider/egress"
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
