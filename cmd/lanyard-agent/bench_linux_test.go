// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
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
			var faults, cpu []int64
			for b.Loop() {
				cmd := p.command()
				began := time.Now()
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
				faults = append(faults, usage.Minflt)
				cpu = append(cpu, usage.Utime.Nano()+usage.Stime.Nano())
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(peakRSS(b, p))/1024, "peak-MiB")
			b.ReportMetric(float64(median(cpu))/1e6, "cpu-ms")
			b.ReportMetric(float64(median(faults)), "faults")
		})
	}
}

// BenchmarkExec is what a wrapped container pays at each start: a process that ends at once, started plainly, by the agent with values at hand, and by the agent
// that fetches them.
func BenchmarkExec(b *testing.B) {
	values := make(map[string]string)
	for i := range 10 {
		values[fmt.Sprintf("ENV_%d", i)] = "0123456789012345678901234567890123456789"
	}
	l := launch{program: "/bin/true", argv: []string{"/bin/true"}, values: values}
	for name, command := range map[string]func(testing.TB) *exec.Cmd{"plain": l.plain, "exec": l.wrapped, "direct": l.fetching} {
		b.Run(name, func(b *testing.B) {
			cmd := command(b)
			var took []time.Duration
			for b.Loop() {
				run := exec.CommandContext(b.Context(), cmd.Path, cmd.Args[1:]...)
				run.Env = cmd.Env
				began := time.Now()
				if err := run.Run(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}

// peakRSS is the largest resident set of ten runs, in KiB. It watches the kernel's own high-water mark until the process is gone: rusage would tell the
// peak of this test instead, whose memory a child shares until it calls execve.
func peakRSS(b *testing.B, p *pod) int {
	b.Helper()
	peak := 0
	for range 10 {
		cmd := p.command()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		path := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status"
		for {
			status, err := os.ReadFile(path)
			_, rest, found := strings.Cut(string(status), "VmHWM:")
			if err != nil || !found { // a zombie has no memory to tell of
				break
			}
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			peak = max(peak, kib)
		}
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	return peak
}

func median(v []int64) int64 {
	slices.Sort(v)
	return v[len(v)/2]
}
