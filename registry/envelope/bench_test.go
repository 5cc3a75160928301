// SPDX-License-Identifier: Apache-2.0

package envelope

import (
	"fmt"
	"testing"
)

var benchSizes = []int{64, 512, 1 << 10, 64 << 10}

func benchmarkSizes(b *testing.B, run func(b *testing.B, r *Ring, plaintext []byte)) {
	r := newTestRing(b, newTestKey(b))
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			run(b, r, make([]byte, n))
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, r *Ring, plaintext []byte) {
		for b.Loop() {
			mustSeal(b, r, testContext, plaintext)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, r *Ring, plaintext []byte) {
		sealed := mustSeal(b, r, testContext, plaintext)
		for b.Loop() {
			if _, err := r.Open(testContext, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSealRecord(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, r *Ring, payload []byte) {
		for b.Loop() {
			r.SealRecord(testKey, testKind, payload)
		}
	})
}

func BenchmarkOpenRecord(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, r *Ring, payload []byte) {
		record := r.SealRecord(testKey, testKind, payload)
		for b.Loop() {
			if _, err := r.OpenRecord(testKey, testKind, record); err != nil {
				b.Fatal(err)
			}
		}
	})
}
