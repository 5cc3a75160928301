// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/lanyard-dev/lanyard/pkg/ref"
	"github.com/lanyard-dev/lanyard/pkg/wire"
)

// Policy is what an installation prefers and allows, for every namespace and for some. The zero Policy allows everything. Consumers may allow less, never more.
type Policy struct {
	Rule       `json:",inline"`
	Namespaces map[string]Rule `json:"namespaces,omitempty"` // :: namespace → what differs there
}

// Rule is what holds in a namespace. A field that is not set in the rule of a namespace is that of the policy.
type Rule struct {
	// Delivery is that of pods that name none; empty means auto.
	Delivery wire.Delivery `json:"delivery,omitempty"`
	// Deliveries are those that are allowed; none means all.
	Deliveries []wire.Delivery `json:"deliveries,omitempty"`
	// Requests are those of the init container; what is not set is that of [Config]. Zero is none.
	Requests Requests `json:"requests,omitzero"`
}

// Requests are resource requests of the init container.
type Requests struct {
	CPU    *resource.Quantity `json:"cpu,omitempty"`
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// MaxPolicyBytes bounds a policy's text: a rule for each of a thousand namespaces takes a tenth of it.
const MaxPolicyBytes = 1 << 20

// ParsePolicy reads a policy from YAML or JSON. It takes no field and no word it does not know, so that a misspelled rule is not taken for none.
func ParsePolicy(text []byte) (Policy, error) {
	if len(text) > MaxPolicyBytes {
		return Policy{}, fmt.Errorf("reading policy: it has more than %d bytes", MaxPolicyBytes)
	}
	var p Policy
	if err := yaml.UnmarshalStrict(text, &p, func(d *json.Decoder) *json.Decoder { d.DisallowUnknownFields(); return d }); err != nil {
		return Policy{}, fmt.Errorf("reading policy: %w", err)
	}
	errs := p.Rule.check("")
	for _, name := range slices.Sorted(maps.Keys(p.Namespaces)) {
		if ref.CheckSlug(name) != nil { // a DNS label, as namespaces are
			errs = append(errs, fmt.Errorf("namespaces: %q cannot be a namespace", name))
			continue
		}
		own := p.Namespaces[name]
		if problems := own.check("namespaces." + name + "."); len(problems) > 0 {
			errs = append(errs, problems...)
			continue
		}
		if r := p.rule(name); !r.allows(r.Delivery) {
			errs = append(errs, fmt.Errorf("namespaces.%s: pods that name no delivery would get %s, which is not allowed there", name, r.Delivery))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Policy{}, fmt.Errorf("reading policy: %w", err)
	}
	return p, nil
}

// check returns what is wrong with a rule. path stands in front of its fields' names.
func (r *Rule) check(path string) []error {
	var errs []error
	if r.Delivery != "" && r.Delivery != wire.DeliveryAuto && !slices.Contains(wire.Deliveries, r.Delivery) {
		errs = append(errs, fmt.Errorf("%sdelivery: %q is none of %s", path, r.Delivery, deliveryNames(append([]wire.Delivery{wire.DeliveryAuto}, wire.Deliveries...))))
	}
	for i, d := range r.Deliveries {
		switch {
		case !slices.Contains(wire.Deliveries, d):
			errs = append(errs, fmt.Errorf("%sdeliveries[%d]: %q is none of %s", path, i, d, deliveryNames(wire.Deliveries)))
		case slices.Contains(r.Deliveries[:i], d):
			errs = append(errs, fmt.Errorf("%sdeliveries[%d]: %s is there twice", path, i, d))
		}
	}
	if len(errs) == 0 && !r.allows(r.Delivery) {
		errs = append(errs, fmt.Errorf("%sdelivery: %s is not among deliveries", path, r.Delivery))
	}
	for _, q := range []struct {
		name  string
		value *resource.Quantity
	}{{cpu, r.Requests.CPU}, {memory, r.Requests.Memory}} {
		if q.value != nil && q.value.Sign() < 0 {
			errs = append(errs, fmt.Errorf("%srequests.%s: it is negative", path, q.name))
		}
	}
	return errs
}

// allows reports whether the rule lets pods use d. Auto, or nothing, chooses among what is allowed.
func (r *Rule) allows(d wire.Delivery) bool {
	return d == "" || d == wire.DeliveryAuto || len(r.Deliveries) == 0 || slices.Contains(r.Deliveries, d)
}

// rule returns what holds in a namespace.
func (p *Policy) rule(namespace string) Rule {
	r := p.Rule
	own, ok := p.Namespaces[namespace]
	if !ok {
		return r
	}
	if own.Delivery != "" {
		r.Delivery = own.Delivery
	}
	if own.Deliveries != nil {
		r.Deliveries = own.Deliveries
	}
	if own.Requests.CPU != nil {
		r.Requests.CPU = own.Requests.CPU
	}
	if own.Requests.Memory != nil {
		r.Requests.Memory = own.Requests.Memory
	}
	return r
}

func deliveryNames(list []wire.Delivery) string {
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = string(d)
	}
	return strings.Join(names, ", ")
}

// forbids tells who does not let t receive its values so, nil if nobody.
func (p *planner) forbids(t *target, d wire.Delivery) []Problem {
	switch {
	case !p.rule.allows(d):
		return []Problem{{ReasonDeliveryDenied, containerField(t.list, t.index), fmt.Sprintf("the delivery %s is not allowed in namespace %s for container %q; allowed: %s",
			d, p.namespace, clip(t.c.Name), deliveryNames(p.rule.Deliveries))}}
	case len(t.names.Deliveries) > 0 && len(t.names.Envs) > 0 && !slices.Contains(t.names.Deliveries, d):
		return []Problem{{ReasonDeliveryDenied, t.field, fmt.Sprintf("consumer %s does not allow the delivery %s to container %q; it allows %s",
			t.consumer, d, clip(t.c.Name), deliveryNames(t.names.Deliveries))}}
	}
	return nil
}
