// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
	"github.com/lanyard-dev/lanyard/registry/store"
)

func (h *handlers) ListConsumers(ctx context.Context, r ListConsumersRequestObject) (ListConsumersResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	q := query(r.Params.PageSize, r.Params.PageToken, r.Params.Q)
	if q.Labels, err = labelQuery(r.Params.Label); err != nil {
		return nil, err
	}
	page, err := h.config.Store.Consumers(ctx, org, q)
	if err != nil {
		return nil, err
	}
	names := secretNames{h.config.Store, org, map[string]string{}}
	out := ListConsumers200JSONResponse{Items: make([]Consumer, len(page.Items)), NextPageToken: optional(page.Next)}
	for i, c := range page.Items {
		if out.Items[i], err = names.consumer(ctx, c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (h *handlers) CreateConsumer(ctx context.Context, r CreateConsumerRequestObject) (CreateConsumerResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	b := r.Body
	kind := store.ConsumerService
	if b.Kind != nil {
		kind = store.ConsumerKind(*b.Kind)
	}
	c, err := h.config.Store.CreateConsumer(ctx, act(ctx), org, store.Consumer{
		Name: b.Name, Kind: kind, Description: value(b.Description), Labels: value(b.Labels), Envs: envs(value(b.Envs)), Bindings: h.bindings(value(b.Bindings)),
	})
	if err != nil {
		return nil, err
	}
	body, err := secretNames{h.config.Store, org, map[string]string{}}.consumer(ctx, c)
	if err != nil {
		return nil, err
	}
	tag, location := etag(c.Revision), root+org+"/consumers/"+c.ID
	return CreateConsumer201JSONResponse{Body: body, Headers: CreateConsumer201ResponseHeaders{ETag: &tag, Location: &location}}, nil
}

func (h *handlers) GetConsumer(ctx context.Context, r GetConsumerRequestObject) (GetConsumerResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	c, err := h.config.Store.Consumer(ctx, org, r.Consumer)
	if err != nil {
		return nil, err
	}
	body, err := secretNames{h.config.Store, org, map[string]string{}}.consumer(ctx, c)
	if err != nil {
		return nil, err
	}
	return GetConsumer200JSONResponse{Body: body, Headers: GetConsumer200ResponseHeaders{ETag: new(etag(c.Revision))}}, nil
}

func (h *handlers) UpdateConsumer(ctx context.Context, r UpdateConsumerRequestObject) (UpdateConsumerResponseObject, error) {
	org, id, expect, err := h.changeConsumer(ctx, r.Organization, r.Consumer, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	b := r.Body
	c, err := h.config.Store.UpdateConsumer(ctx, act(ctx), org, id, expect, func(c *store.Consumer) error {
		set(&c.Name, b.Name)
		if b.Kind != nil {
			c.Kind = store.ConsumerKind(*b.Kind)
		}
		set(&c.Description, b.Description)
		setLabels(&c.Labels, b.Labels)
		if b.Envs != nil {
			c.Envs = envs(*b.Envs)
		}
		if b.Bindings != nil {
			c.Bindings = h.bindings(*b.Bindings)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	body, err := secretNames{h.config.Store, org, map[string]string{}}.consumer(ctx, c)
	if err != nil {
		return nil, err
	}
	return UpdateConsumer200JSONResponse{Body: body, Headers: UpdateConsumer200ResponseHeaders{ETag: new(etag(c.Revision))}}, nil
}

func (h *handlers) DeleteConsumer(ctx context.Context, r DeleteConsumerRequestObject) (DeleteConsumerResponseObject, error) {
	org, id, expect, err := h.changeConsumer(ctx, r.Organization, r.Consumer, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := h.config.Store.DeleteConsumer(ctx, act(ctx), org, id, expect); err != nil {
		return nil, err
	}
	return DeleteConsumer204Response{}, nil
}

func (h *handlers) changeConsumer(ctx context.Context, slugOrID, nameOrID string, ifMatch *string) (org, id string, expect int64, err error) {
	if org, expect, err = h.change(ctx, slugOrID, ifMatch); err != nil {
		return "", "", 0, err
	}
	c, err := h.config.Store.Consumer(ctx, org, nameOrID)
	return org, c.ID, expect, err
}

func envs(in []Env) []store.Env {
	return mapped(in, func(e Env) store.Env {
		return store.Env{Name: e.Name, Value: e.Value, SecretID: value(e.Secret), Version: uint64(value(e.Version))} //nolint:gosec // the document's minimum is 1
	})
}

func (h *handlers) bindings(in []Binding) []store.Binding {
	return mapped(in, func(b Binding) store.Binding {
		cluster := h.config.Cluster
		set(&cluster, b.Cluster)
		return store.Binding{Cluster: cluster, Namespace: b.Namespace, ServiceAccount: b.ServiceAccount}
	})
}

// secretNames turns the ids that consumers keep into the names people know, each looked up once.
type secretNames struct {
	store Store
	org   string
	known map[string]string // :: id → name
}

func (n secretNames) consumer(ctx context.Context, c store.Consumer) (Consumer, error) {
	out := Consumer{
		Id: c.ID, Name: c.Name, Kind: ConsumerKind(c.Kind), Description: c.Description, Labels: labels(c.Labels),
		Envs: make([]Env, len(c.Envs)),
		Bindings: mapped(c.Bindings, func(b store.Binding) Binding {
			return Binding{Cluster: &b.Cluster, Namespace: b.Namespace, ServiceAccount: b.ServiceAccount}
		}),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, CreatedBy: c.CreatedBy, UpdatedBy: c.UpdatedBy,
	}
	for i, e := range c.Envs {
		out.Envs[i] = Env{Name: e.Name, Value: e.Value, Version: optional(int64(e.Version))} //nolint:gosec // version numbers count puts
		if e.SecretID == "" {
			continue
		}
		name, err := n.name(ctx, e.SecretID)
		if err != nil {
			return Consumer{}, err
		}
		out.Envs[i].Secret = &name
	}
	return out, nil
}

// name of a secret; its id if the secret is gone or does not verify.
func (n secretNames) name(ctx context.Context, id string) (string, error) {
	if name, ok := n.known[id]; ok {
		return name, nil
	}
	s, err := n.store.Secret(ctx, n.org, id)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrIntegrity):
		s.Name = id
	case err != nil:
		return "", err
	}
	n.known[id] = s.Name
	return s.Name, nil
}
