// SPDX-License-Identifier: Apache-2.0

package signin

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome says what became of a request to exchange an ID token: one of these, or a Reason of package idtoken. It is a closed set, docs/federation.md lists it.
type outcome string

// The outcomes besides those of package idtoken.
const (
	outcomeOK          outcome = "ok"
	outcomeLimited     outcome = "rate-limited"    // too many from one network
	outcomeInvalid     outcome = "invalid-request" // no request of RFC 8693
	outcomeUnavailable outcome = "unavailable"     // the store did not answer
	reasonFederation   outcome = "unknown-federation"
	reasonClaims       outcome = "claims"           // they are not what the federation says
	reasonRedeemed     outcome = "used-before"      // the ID token was exchanged already
	reasonTooMany      outcome = "too-many-at-once" // of the federation's bearers
)

// exchangeCounter counts exchanges by outcome. Which federation it was is in the log: owners make as many as they like. The zero one counts nothing.
type exchangeCounter struct{ total *prometheus.CounterVec }

func newExchangeCounter(to prometheus.Registerer) (exchangeCounter, error) {
	if to == nil {
		return exchangeCounter{}, nil
	}
	c := exchangeCounter{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lanyard_registry_federation_exchanges_total", Help: "Requests to exchange an ID token, by outcome: ok, or one of docs/federation.md.",
	}, []string{"outcome"})}
	if err := to.Register(c.total); err != nil {
		return exchangeCounter{}, fmt.Errorf("registering metrics of exchanges: %w", err)
	}
	return c, nil
}

func (c exchangeCounter) count(o outcome) {
	if c.total != nil {
		c.total.WithLabelValues(string(o)).Inc()
	}
}
