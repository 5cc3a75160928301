// SPDX-License-Identifier: Apache-2.0

package workloadapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

func newMetrics(to prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_workload_requests_total", Help: "Requests on the workload listener by their outcome: ok, unchanged or a code of docs/reasons.md. The route refresh is that of pods that have values already."}, []string{"route", "code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_workload_refusals_total", Help: "Refused tokens by the precise reason, which the caller is not told."}, []string{"reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lanyard_registry_workload_request_duration_seconds", Help: "Duration of requests; of a names stream its whole life.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"route"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lanyard_registry_workload_in_flight", Help: "Requests being served, or waiting for their turn."}, []string{"route"}),
	}
	if to != nil {
		to.MustRegister(m.requests, m.refused, m.seconds, m.inFlight)
	}
	return m
}

func (m metrics) done(e *exchange, took time.Duration) {
	m.requests.WithLabelValues(e.route, string(e.code)).Inc()
	m.seconds.WithLabelValues(e.route).Observe(took.Seconds())
	if e.reason != "" {
		m.refused.WithLabelValues(string(e.reason)).Inc()
	}
}
