// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkProcess is what an init container costs without the kubelet: exec, one TLS connection to a server on loopback, values written, exit. The server
// shares the machine, so that its half of the handshake is in the numbers.
func BenchmarkProcess(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("envs=%d", n), func(b *testing.B) {
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf("ENV_%d", i))
			}
			c := envs("app", names...)
			p := newPod(b, serve(b, nil, answer("0123456789012345678901234567890123456789", c)), c)
			var took []time.Duration
			var peak, faults, cpu []int64
			for b.Loop() {
				cmd := p.command()
				began := time.Now()
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
				peak = append(peak, usage.Maxrss)
				faults = append(faults, usage.Minflt)
				cpu = append(cpu, usage.Utime.Nano()+usage.Stime.Nano())
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(slices.Max(peak))/1024, "peak-MiB")
			b.ReportMetric(float64(median(cpu))/1e6, "cpu-ms")
			b.ReportMetric(float64(median(faults)), "faults")
		})
	}
}

func median(v []int64) int64 {
	slices.Sort(v)
	return v[len(v)/2]
}
