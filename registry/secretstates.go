// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/registry/store"
)

// secretStates counts secrets by state when it is asked. Every replica counts all of them.
type secretStates struct{ store *store.Store }

var secretsDesc = prometheus.NewDesc("lanyard_registry_secrets", "Secrets of the installation by state: active, expiring (within 30 days), expired, deleted.", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (s secretStates) Describe(descs chan<- *prometheus.Desc) { descs <- secretsDesc }

// Collect implements prometheus.Collector.
func (s secretStates) Collect(metrics chan<- prometheus.Metric) {
	for state, n := range s.store.SecretStates() {
		metrics <- prometheus.MustNewConstMetric(secretsDesc, prometheus.GaugeValue, float64(n), state)
	}
}
