// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"

	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// allows reports whether the consumer lets its ENVs be delivered so. The zero consumer has none.
func allows(c store.Consumer, d wire.Delivery) bool {
	return len(c.Deliveries) == 0 || slices.Contains(c.Deliveries, d)
}

// allowed refuses a request in which a container would receive a consumer's ENVs by a delivery that the consumer does not allow. Admission has chosen one that
// was allowed then; what has been forbidden since counts for every start.
func allowed(req Request, consumers []store.Consumer) *Refusal {
	for i, c := range req.containers {
		if !allows(consumers[i], c.Delivery) {
			return refuse(wire.CodeDeliveryDenied, fmt.Sprintf("container %s: consumer %s does not allow the delivery %s", c.Name, req.consumers[i], c.Delivery), nil)
		}
	}
	return nil
}

// disallowed tells of every consumer whose rule was not kept, once.
func disallowed(call Call, req Request, consumers []store.Consumer) []audit.Event {
	var events []audit.Event
	for i, c := range req.containers {
		told := slices.ContainsFunc(events, func(e audit.Event) bool { return e.ResourceID == consumers[i].ID })
		if told || allows(consumers[i], c.Delivery) {
			continue
		}
		e := call.Event(audit.Denied, string(wire.CodeDeliveryDenied))
		e.OrgID, e.ResourceKind, e.ResourceID, e.ResourceName = consumers[i].OrgID, "consumer", consumers[i].ID, req.consumers[i].String()
		events = append(events, e)
	}
	return events
}
