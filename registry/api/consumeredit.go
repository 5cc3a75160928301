// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// consumers shows consumers of one organization, with the names of their secrets as they are now, or the ids of those that are gone.
func (s *server) consumers(ctx context.Context, list ...store.Consumer) ([]contract.Consumer, error) {
	var ids []string
	for _, c := range list {
		for _, e := range c.Envs {
			if e.SecretID != "" {
				ids = append(ids, e.SecretID)
			}
		}
	}
	names := map[string]string{} // :: secret id → name
	if len(ids) > 0 {
		var err error
		if names, err = s.store.SecretNames(ctx, list[0].OrgID, ids); err != nil {
			return nil, err
		}
	}
	return each(list, func(c store.Consumer) contract.Consumer {
		return contract.Consumer{
			ID: c.ID, OrganizationID: c.OrgID, Name: c.Name, Kind: contract.ConsumerKind(c.Kind), Description: c.Description, Labels: nonNil(c.Labels),
			Envs: each(c.Envs, func(e store.Env) contract.Env {
				return contract.Env{Name: e.Name, Value: e.Value, Secret: optional(cmp.Or(names[e.SecretID], e.SecretID)), Version: optional(e.Version)}
			}),
			Bindings:   each(c.Bindings, binding),
			Deliveries: each(c.Deliveries, func(d wire.Delivery) contract.Delivery { return contract.Delivery(d) }),
			CreatedAt:  c.CreatedAt, CreatedBy: c.CreatedBy, UpdatedAt: c.UpdatedAt, UpdatedBy: c.UpdatedBy, Etag: etag(c.Meta),
		}
	}), nil
}

// consumerEdit is a PATCH of a consumer. cluster is what bindings mean that name none.
type consumerEdit struct {
	contract.ConsumerUpdate
	cluster string
}

// apply changes the fields that are given. It may be called more than once.
func (e consumerEdit) apply(c *store.Consumer) error {
	c.Name = or(e.Name, c.Name)
	c.Kind = store.ConsumerKind(or(e.Kind, contract.ConsumerKind(c.Kind)))
	c.Description = or(e.Description, c.Description)
	c.Labels = or(e.Labels, c.Labels)
	if e.Envs != nil {
		c.Envs = envs(*e.Envs)
	}
	if e.Bindings != nil {
		c.Bindings = bindings(*e.Bindings, e.cluster)
	}
	if e.Deliveries != nil {
		c.Deliveries = deliveries(*e.Deliveries)
	}
	return nil
}

// consumerWrite is a whole consumer, as a POST or PUT has it.
type consumerWrite struct {
	contract.ConsumerCreate
	cluster string
}

// apply sets all fields. It may be called more than once.
func (w consumerWrite) apply(c *store.Consumer) error {
	c.Name = w.Name
	c.Kind = store.ConsumerKind(or(w.Kind, contract.ConsumerKindService))
	c.Description = or(w.Description, "")
	c.Labels = or(w.Labels, nil)
	c.Envs, c.Bindings, c.Deliveries = envs(or(w.Envs, nil)), bindings(or(w.Bindings, nil), w.cluster), deliveries(or(w.Deliveries, nil))
	return nil
}

// envs are ENVs as the store takes them: with names of secrets where ids will be.
func envs(list []contract.Env) []store.Env {
	return each(list, func(e contract.Env) store.Env {
		return store.Env{Name: e.Name, Value: e.Value, SecretID: or(e.Secret, ""), Version: or(e.Version, 0)}
	})
}

func deliveries(list []contract.Delivery) []wire.Delivery {
	return each(list, func(d contract.Delivery) wire.Delivery { return wire.Delivery(d) })
}

func binding(b store.Binding) contract.Binding {
	return contract.Binding{Cluster: &b.Cluster, Namespace: b.Namespace, ServiceAccount: b.ServiceAccount}
}

func bindings(list []contract.Binding, cluster string) []store.Binding {
	return each(list, func(b contract.Binding) store.Binding {
		return store.Binding{Cluster: or(b.Cluster, cluster), Namespace: b.Namespace, ServiceAccount: b.ServiceAccount}
	})
}
