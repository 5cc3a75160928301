// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/authn"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// claim returns the consumer of each container, if the principal may claim all of them. Else the refusal names those it may not, and says the same of one
// that exists as of one that does not or whose record does not verify; the consumers returned with it are for the audit record alone, and zero where there is none.
// A container without a consumer claims none, and has the zero consumer.
func claim(view Finder, p authn.Principal, refs []ref.Consumer) ([]store.Consumer, *Refusal) {
	consumers := make([]store.Consumer, len(refs))
	var refused []string
	var causes []error
	for i, r := range refs {
		if r == (ref.Consumer{}) {
			continue
		}
		consumer, err := view.FindConsumer(r.Org, r.Name)
		switch {
		case err == nil:
			consumers[i] = consumer
		case !errors.Is(err, store.ErrNotFound):
			causes = append(causes, fmt.Errorf("reading consumer %s: %w", r, err))
		}
		if !binds(consumers[i], p) && !slices.Contains(refused, r.String()) {
			refused = append(refused, r.String())
		}
	}
	if len(refused) == 0 {
		return consumers, nil
	}
	return consumers, refuse(wire.CodeNotBound, fmt.Sprintf("service account %s of namespace %s, cluster %s, may not claim %s: no such consumer, or no binding",
		p.ServiceAccount, p.Namespace, p.Cluster, strings.Join(refused, ", ")), errors.Join(causes...))
}

// binds reports whether a binding of the consumer is exactly the principal's cluster, namespace and service account. The zero consumer binds nobody.
func binds(c store.Consumer, p authn.Principal) bool {
	return slices.Contains(c.Bindings, store.Binding{Cluster: p.Cluster, Namespace: p.Namespace, ServiceAccount: p.ServiceAccount})
}
