// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events   prometheus.Counter
	seconds  prometheus.Histogram
	failures *prometheus.CounterVec
}

func newMetrics(to prometheus.Registerer) metrics {
	m := metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lanyard_registry_audit_events_total", Help: "Audit events handed to the sinks."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lanyard_registry_audit_batch_duration_seconds", Help: "How long all sinks took to accept one batch.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 4, 8)}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_audit_sink_failures_total", Help: "Batches a sink did not accept. Nothing they tell of was released."}, []string{"sink"}),
	}
	if to != nil {
		to.MustRegister(m.events, m.seconds, m.failures)
	}
	return m
}

func (m metrics) batch(events int, took time.Duration) {
	m.events.Add(float64(events))
	m.seconds.Observe(took.Seconds())
}

func (m metrics) failed(sink string) { m.failures.WithLabelValues(sink).Inc() }
