// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// metrics have labels of closed sets alone; which lease it was is in the log. A nil *metrics counts nothing.
type metrics struct {
	leases   *prometheus.GaugeVec
	renewals *prometheus.CounterVec
	revokes  *prometheus.CounterVec
	abandons prometheus.Counter
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	if to == nil {
		return nil, nil
	}
	m := &metrics{
		leases: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lanyard_registry_leases", Help: "Leases of dynamic credentials by state, on the replica that looks after them; the others have none.",
		}, []string{"state"}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_lease_renewals_total", Help: "Renewals of leases that were tried, by outcome.",
		}, []string{"outcome"}),
		revokes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_registry_lease_revocations_total", Help: "Revocations of leases that were tried, by reason and outcome.",
		}, []string{"reason", "outcome"}),
		abandons: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lanyard_registry_leases_abandoned_total", Help: "Leases that end by themselves because their provider was deleted or points to another server.",
		}),
	}
	for _, c := range []prometheus.Collector{m.leases, m.renewals, m.revokes, m.abandons} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of leases: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) set(counts map[store.LeaseState]int) {
	if m == nil {
		return
	}
	m.leases.Reset()
	for state, n := range counts {
		m.leases.WithLabelValues(string(state)).Set(float64(n))
	}
}

func (m *metrics) renewed(err error) {
	if m != nil {
		m.renewals.WithLabelValues(outcome(err)).Inc()
	}
}

func (m *metrics) revoked(reason string, err error) {
	if m != nil {
		m.revokes.WithLabelValues(reason, outcome(err)).Inc()
	}
}

func (m *metrics) abandon() {
	if m != nil {
		m.abandons.Inc()
	}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return "failed"
}

func (r *round) logger(l store.Lease) *slog.Logger {
	return r.config.Log.With("lease_id", l.ID, "org_id", l.OrgID, "provider", l.Provider, "namespace", l.Pod.Namespace, "pod", l.Pod.Name)
}
