// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/authn/bootstrap"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// bootstrapState says what becomes of the bootstrap token, as far as this replica knows when it is asked.
type bootstrapState struct {
	store      *store.Store
	configured bool // there is a token at all
	breakGlass bool
}

func (r *server) bootstrap() bootstrapState {
	return bootstrapState{r.store, r.config.BootstrapTokenFile != "", r.config.AcceptEndedBootstrap}
}

var bootstrapDesc = prometheus.NewDesc("lanyard_registry_bootstrap_token", "1 for the state of the bootstrap token: accepted, ended (or none), or break-glass: accepted although it has ended.", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (b bootstrapState) Describe(descs chan<- *prometheus.Desc) { descs <- bootstrapDesc }

// Collect implements prometheus.Collector.
func (b bootstrapState) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(bootstrapDesc, prometheus.GaugeValue, 1, b.state())
}

func (b bootstrapState) state() string {
	ended := b.store.BootstrapEnded()
	switch {
	case !b.configured || ended && !b.breakGlass:
		return "ended"
	case ended:
		return "break-glass"
	}
	return "accepted"
}

// announceBreakGlass logs and audits that this replica accepts a bootstrap token that has ended. It returns when that is done or ctx ends.
func (r *server) announceBreakGlass(ctx context.Context) {
	known, err := r.store.Administration(ctx, bootstrap.Principal.String())
	if err != nil {
		r.log.Error("state of the bootstrap token not read", "err", err)
		return
	}
	if known.BootstrapEnd == nil {
		return
	}
	r.log.Warn("bootstrap token is accepted although it has ended; restart without -accept-ended-bootstrap-token when there is an administrator again")
	if err := r.audit.Record(ctx, audit.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Millisecond), Actor: "registry:bootstrap", Action: audit.BootstrapReopen, Outcome: audit.Allowed,
		ResourceKind: "bootstrap_token", ResourceName: "bootstrap",
	}); err != nil {
		r.log.Error("acceptance of the ended bootstrap token not audited", "err", err)
	}
}
