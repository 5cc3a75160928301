// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"strings"
	"testing"

	"github.com/lanyard-dev/lanyard/pkg/wire"
)

func TestAConsumerReleasesByTheDeliveriesItAllowsOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		allowed  []wire.Delivery
		delivery wire.Delivery
		ok       bool
	}{
		"none is all":           {nil, wire.DeliveryEnvfile, true},
		"the one it allows":     {[]wire.Delivery{wire.DeliveryExec}, wire.DeliveryExec, true},
		"one of several":        {[]wire.Delivery{wire.DeliveryFile, wire.DeliveryExec}, wire.DeliveryExec, true},
		"one it does not allow": {[]wire.Delivery{wire.DeliveryFile, wire.DeliveryExec}, wire.DeliveryEnvfile, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			c := w.consumers["shop/web"]
			c.Deliveries = tc.allowed
			w.consumers["shop/web"] = c
			w.grant("o1/s1", callers)
			inline := refer("lanyard://shop/stripe") // a grant knows no deliveries
			inline.Delivery = wire.DeliveryEnvfile
			got, refusal := w.resolver(t).Resolve(t.Context(), caller, ask(t, wire.ContainerRequest{Consumer: "shop/web", Envs: []string{"STRIPE"}, Delivery: tc.delivery}, inline))
			if tc.ok {
				if refusal != nil || len(got.Containers) != 2 {
					t.Errorf("refused: %v", refusal)
				}
				return
			}
			if refusal == nil || refusal.Problem.Code != wire.CodeDeliveryDenied || !strings.Contains(refusal.Problem.Message, "consumer shop/web does not allow the delivery envfile") {
				t.Fatalf("refusal = %+v", refusal)
			}
			if len(w.opened) != 0 || len(w.events) != 0 || len(w.denied) != 1 || w.denied[0].Reason != "delivery_denied" || w.denied[0].ResourceName != "shop/web" || w.denied[0].OrgID != "o1" {
				t.Errorf("opened %d, released %d, denials %+v", len(w.opened), len(w.events), w.denied)
			}
		})
	}
}
