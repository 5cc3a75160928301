// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// deletions counts deleted organizations of which something is left, when it is asked.
type deletions struct{ store *store.Store }

var deletionsDesc = prometheus.NewDesc("lanyard_registry_organizations_deleting",
	"Deleted organizations of which something is left, as a rule leases whose provider does not answer. Every replica counts all of them.", nil, nil)

// Describe implements prometheus.Collector.
func (d deletions) Describe(descs chan<- *prometheus.Desc) { descs <- deletionsDesc }

// Collect implements prometheus.Collector.
func (d deletions) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(deletionsDesc, prometheus.GaugeValue, float64(d.store.Deleting()))
}
