// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

// consumer looks a consumer up in an organization.
func (s *server) consumer(ctx context.Context, org, nameOrID string) (store.Consumer, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.Consumer{}, err
	}
	return s.store.Consumer(ctx, o.ID, nameOrID)
}

// ListConsumers implements ginapi.StrictServerInterface.
func (s *server) ListConsumers(ctx context.Context, r ginapi.ListConsumersRequestObject) (ginapi.ListConsumersResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Consumers(ctx, o.ID, store.Query{
		Search: or(r.Params.Q, ""), Labels: labelFilter(r.Params.Label), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0),
	})
	if err != nil {
		return nil, err
	}
	items, err := s.consumers(ctx, page.Items...)
	if err != nil {
		return nil, err
	}
	return ginapi.ListConsumers200JSONResponse{Items: items, NextPageToken: optional(page.Next)}, nil
}

// CreateConsumer implements ginapi.StrictServerInterface.
func (s *server) CreateConsumer(ctx context.Context, r ginapi.CreateConsumerRequestObject) (ginapi.CreateConsumerResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	var c store.Consumer
	if err := (consumerWrite{*r.Body, s.cluster}).apply(&c); err != nil {
		return nil, err
	}
	var created store.Consumer
	if err := s.once(ctx, call, func() (err error) {
		created, err = s.store.CreateConsumer(ctx, call.act(), o.ID, c)
		return err
	}, &created); err != nil {
		return nil, err
	}
	body, err := s.consumers(ctx, created)
	if err != nil {
		return nil, err
	}
	return ginapi.CreateConsumer201JSONResponse{Body: body[0], Headers: ginapi.CreateConsumer201ResponseHeaders{
		ETag: etag(created.Meta), Location: organizationsPath + created.OrgID + "/consumers/" + created.ID,
	}}, nil
}

// GetConsumer implements ginapi.StrictServerInterface.
func (s *server) GetConsumer(ctx context.Context, r ginapi.GetConsumerRequestObject) (ginapi.GetConsumerResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.consumer(ctx, r.Organization, r.Consumer)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, found.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetConsumer304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(found.Meta)}}, nil
	}
	body, err := s.consumers(ctx, found)
	if err != nil {
		return nil, err
	}
	return ginapi.GetConsumer200JSONResponse{Body: body[0], Headers: ginapi.GetConsumer200ResponseHeaders{ETag: etag(found.Meta)}}, nil
}

// ReplaceConsumer implements ginapi.StrictServerInterface.
func (s *server) ReplaceConsumer(ctx context.Context, r ginapi.ReplaceConsumerRequestObject) (ginapi.ReplaceConsumerResponseObject, error) {
	body, err := s.updateConsumer(ctx, r.Organization, r.Consumer, r.Params.IfMatch, consumerWrite{*r.Body, s.cluster}.apply)
	if err != nil {
		return nil, err
	}
	return ginapi.ReplaceConsumer200JSONResponse{Body: body, Headers: ginapi.ReplaceConsumer200ResponseHeaders{ETag: body.Etag}}, nil
}

// UpdateConsumer implements ginapi.StrictServerInterface.
func (s *server) UpdateConsumer(ctx context.Context, r ginapi.UpdateConsumerRequestObject) (ginapi.UpdateConsumerResponseObject, error) {
	body, err := s.updateConsumer(ctx, r.Organization, r.Consumer, r.Params.IfMatch, consumerEdit{*r.Body, s.cluster}.apply)
	if err != nil {
		return nil, err
	}
	return ginapi.UpdateConsumer200JSONResponse{Body: body, Headers: ginapi.UpdateConsumer200ResponseHeaders{ETag: body.Etag}}, nil
}

func (s *server) updateConsumer(ctx context.Context, org, nameOrID string, ifMatch *string, edit func(*store.Consumer) error) (contract.Consumer, error) {
	ctx, call := begun(ctx)
	found, err := s.consumer(ctx, org, nameOrID)
	if err != nil {
		return contract.Consumer{}, err
	}
	expect, err := s.expect(ifMatch, found.Meta)
	if err != nil {
		return contract.Consumer{}, err
	}
	changed, err := s.store.UpdateConsumer(ctx, call.act(), found.OrgID, found.ID, expect, edit)
	if err != nil {
		return contract.Consumer{}, err
	}
	body, err := s.consumers(ctx, changed)
	if err != nil {
		return contract.Consumer{}, err
	}
	return body[0], nil
}

// DeleteConsumer implements ginapi.StrictServerInterface.
func (s *server) DeleteConsumer(ctx context.Context, r ginapi.DeleteConsumerRequestObject) (ginapi.DeleteConsumerResponseObject, error) {
	ctx, call := begun(ctx)
	found, err := s.consumer(ctx, r.Organization, r.Consumer)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, found.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteConsumer(ctx, call.act(), found.OrgID, found.ID, expect); err != nil {
		return nil, err
	}
	return ginapi.DeleteConsumer204Response{}, nil
}
