// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"testing"

	"github.com/lanyard-dev/lanyard/registry/provider"
	"github.com/lanyard-dev/lanyard/registry/provider/vault/vaulttest"
)

// BenchmarkRead is one read over TLS on loopback, the fake's part included.
func BenchmarkRead(b *testing.B) {
	s := vaulttest.New(b)
	s.Put("kv/x", `{"a":"1","b":"2"}`)
	v := open(b, record(b, s, nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Read(b.Context(), provider.Ref{Path: "kv/x"}); err != nil {
			b.Fatal(err)
		}
	}
}
