// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count by the type of provider and the outcome or status, all from closed sets; which provider it was is in the log and in the API. A nil *metrics counts nothing.
type metrics struct {
	fetches  *prometheus.CounterVec
	reads    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	circuits *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, h *healths) (*metrics, error) {
	if r == nil {
		return nil, nil
	}
	m := &metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_provider_fetches_total", Help: "Remote documents asked for by resolves, by type, outcome and whether another request's read was shared.",
		}, []string{"type", "outcome", "shared"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_provider_reads_total", Help: "Reads sent to providers, by type and outcome.",
		}, []string{"type", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lanyard_registry_provider_read_duration_seconds", Help: "Time a provider took to answer a read, logging in included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"type"}),
		circuits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_provider_circuit_opened_total", Help: "Times the circuit breaker of a provider opened, by type.",
		}, []string{"type"}),
	}
	for _, c := range []prometheus.Collector{m.fetches, m.reads, m.duration, m.circuits, healthCollector{h}} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of providers: %w", err)
		}
	}
	return m, nil
}

// outcome is "ok" or the kind of an error.
func outcome(err *Error) string {
	if err == nil {
		return "ok"
	}
	return err.Kind.String()
}

func (m *metrics) fetch(kind, outcome string, shared bool) {
	if m != nil {
		m.fetches.WithLabelValues(kind, outcome, strconv.FormatBool(shared)).Inc()
	}
}

func (m *metrics) read(kind, outcome string, took time.Duration) {
	if m != nil {
		m.reads.WithLabelValues(kind, outcome).Inc()
		m.duration.WithLabelValues(kind).Observe(took.Seconds())
	}
}

func (m *metrics) opened(kind string) {
	if m != nil {
		m.circuits.WithLabelValues(kind).Inc()
	}
}

// healthCollector counts the providers at each scrape.
type healthCollector struct{ healths *healths }

var healthDesc = prometheus.NewDesc("lanyard_registry_providers", "Secret providers as this replica finds them, by type and status: healthy, failing, or unknown until they were asked.", []string{"type", "status"}, nil)

func (c healthCollector) Describe(out chan<- *prometheus.Desc) { out <- healthDesc }

func (c healthCollector) Collect(out chan<- prometheus.Metric) {
	for labels, n := range c.healths.count() {
		out <- prometheus.MustNewConstMetric(healthDesc, prometheus.GaugeValue, float64(n), labels[0], labels[1])
	}
}
