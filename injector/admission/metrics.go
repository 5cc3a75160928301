// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/injector/mutate"
)

// Metrics of the admissions. Every label value comes from a closed set and is there from the start.
type Metrics struct {
	admissions *prometheus.CounterVec
	rejections *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
}

// rejectCodes are the statuses of [Handler.reject].
var rejectCodes = []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusServiceUnavailable}

// NewMetrics returns metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		admissions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lanyard_injector_admissions_total", Help: "Reviews answered, by decision and reason."}, []string{"decision", "reason"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lanyard_injector_rejections_total", Help: "Requests that held no review, by HTTP status."}, []string{"code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lanyard_injector_admission_duration_seconds", Help: "Time from the request's headers to the answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 3},
		}, []string{"decision"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lanyard_injector_admissions_in_flight", Help: "Reviews in work."}),
	}
	for _, info := range mutate.Reasons {
		m.admissions.WithLabelValues(string(info.Decision), string(info.Reason))
		m.duration.WithLabelValues(string(info.Decision))
	}
	m.admissions.WithLabelValues(string(mutate.Unchanged), string(mutate.ReasonInjected))
	m.duration.WithLabelValues(string(mutate.Unchanged))
	for _, code := range rejectCodes {
		m.rejections.WithLabelValues(strconv.Itoa(code))
	}
	r.MustRegister(m.admissions, m.rejections, m.duration, m.inFlight)
	return m
}

func (m *Metrics) observe(plan *mutate.Plan, took time.Duration) {
	m.admissions.WithLabelValues(string(plan.Decision), string(plan.Reason)).Inc()
	m.duration.WithLabelValues(string(plan.Decision)).Observe(took.Seconds())
}

func (m *Metrics) rejected(code int) { m.rejections.WithLabelValues(strconv.Itoa(code)).Inc() }
