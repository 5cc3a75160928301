// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"

	. "github.com/lanyard-dev/lanyard/pkg/api" //nolint:staticcheck // the generated server names these types without a package
	"github.com/lanyard-dev/lanyard/pkg/wire"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func (h *handlers) ListSecrets(ctx context.Context, r ListSecretsRequestObject) (ListSecretsResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	q := query(r.Params.PageSize, r.Params.PageToken, r.Params.Q)
	q.Storage, q.Deleted = store.Storage(value(r.Params.Storage)), value(r.Params.Deleted)
	if q.Labels, err = labelQuery(r.Params.Label); err != nil {
		return nil, err
	}
	page, err := h.config.Store.Secrets(ctx, org, q)
	if err != nil {
		return nil, err
	}
	return ListSecrets200JSONResponse{Items: mapped(page.Items, secret), NextPageToken: optional(page.Next)}, nil
}

func (h *handlers) CreateSecret(ctx context.Context, r CreateSecretRequestObject) (CreateSecretResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	b := r.Body
	n := store.NewSecret{
		Name: b.Name, Description: value(b.Description), Labels: value(b.Labels), Storage: store.Storage(value(b.Storage)),
		Remote: remote(b.ProviderId, b.RemotePath, b.RemoteKey, b.RemoteVersion), ExpiresAt: b.ExpiresAt,
	}
	if n.Value, err = submitted(b.Value, b.ValueBase64); err != nil {
		return nil, err
	}
	if n.Value != nil {
		defer n.Value.Wipe()
	}
	if n.Storage == "" { // what is given says what is meant
		n.Storage = store.StorageLocal
		if n.Remote != nil {
			n.Storage = store.StorageRemote
		}
	}
	s, err := h.config.Store.CreateSecret(ctx, act(ctx), org, n)
	if err != nil {
		return nil, err
	}
	tag, location := etag(s.Revision), root+org+"/secrets/"+s.ID
	return CreateSecret201JSONResponse{Body: secret(s), Headers: CreateSecret201ResponseHeaders{ETag: &tag, Location: &location}}, nil
}

func (h *handlers) GetSecret(ctx context.Context, r GetSecretRequestObject) (GetSecretResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	s, err := h.config.Store.Secret(ctx, org, r.Secret)
	if err != nil {
		return nil, err
	}
	return GetSecret200JSONResponse{Body: secret(s), Headers: GetSecret200ResponseHeaders{ETag: new(etag(s.Revision))}}, nil
}

// UpdateSecret changes metadata, then puts the value: two transactions, of which the second only happens on top of the first. What can be wrong with the
// value is found before either.
func (h *handlers) UpdateSecret(ctx context.Context, r UpdateSecretRequestObject) (UpdateSecretResponseObject, error) {
	org, id, expect, err := h.changeSecret(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	b := r.Body
	put, err := submitted(b.Value, b.ValueBase64)
	if err != nil {
		return nil, err
	}
	if put != nil {
		defer put.Wipe()
		if len(put.Reveal()) > wire.MaxValueBytes {
			return nil, invalid("/value", "too_long", fmt.Sprintf("a value may have %d bytes", wire.MaxValueBytes))
		}
	}
	var s store.Secret
	if put == nil || changesMetadata(b) {
		s, err = h.config.Store.UpdateSecret(ctx, act(ctx), org, id, expect, func(s *store.Secret) error {
			set(&s.Name, b.Name)
			set(&s.Description, b.Description)
			setLabels(&s.Labels, b.Labels)
			expiry(&s.ExpiresAt, b.ExpiresAt)
			if reference := remote(b.ProviderId, b.RemotePath, b.RemoteKey, b.RemoteVersion); reference != nil {
				if put != nil {
					return invalid("/value", "forbidden", "a remote secret has no value here: only the reference is stored")
				}
				merged := value(s.Remote)
				set(&merged.ProviderID, b.ProviderId)
				set(&merged.Path, b.RemotePath)
				set(&merged.Key, b.RemoteKey)
				set(&merged.Version, b.RemoteVersion)
				s.Remote = &merged
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		expect = s.Revision
	}
	if put != nil {
		if s, _, err = h.config.Store.PutVersion(ctx, act(ctx), org, id, expect, *put, true); err != nil {
			return nil, err
		}
	}
	return UpdateSecret200JSONResponse{Body: secret(s), Headers: UpdateSecret200ResponseHeaders{ETag: new(etag(s.Revision))}}, nil
}

func changesMetadata(b *SecretUpdate) bool {
	return b.Name != nil || b.Description != nil || b.Labels != nil || b.ExpiresAt != nil ||
		b.ProviderId != nil || b.RemotePath != nil || b.RemoteKey != nil || b.RemoteVersion != nil
}

func (h *handlers) DeleteSecret(ctx context.Context, r DeleteSecretRequestObject) (DeleteSecretResponseObject, error) {
	org, id, expect, err := h.changeSecret(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := h.config.Store.DeleteSecret(ctx, act(ctx), org, id, expect, value(r.Params.Force)); err != nil {
		return nil, err
	}
	return DeleteSecret204Response{}, nil
}

func (h *handlers) UndeleteSecret(ctx context.Context, r UndeleteSecretRequestObject) (UndeleteSecretResponseObject, error) {
	org, id, expect, err := h.changeSecret(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	s, err := h.config.Store.UndeleteSecret(ctx, act(ctx), org, id, expect)
	if err != nil {
		return nil, err
	}
	return UndeleteSecret200JSONResponse{Body: secret(s), Headers: UndeleteSecret200ResponseHeaders{ETag: new(etag(s.Revision))}}, nil
}

func (h *handlers) ListReferences(ctx context.Context, r ListReferencesRequestObject) (ListReferencesResponseObject, error) {
	org, err := h.organization(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	list, err := h.config.Store.References(ctx, org, r.Secret)
	if err != nil {
		return nil, err
	}
	return ListReferences200JSONResponse{Items: references(list)}, nil
}

// changeSecret resolves the secret of a change within its organization, and what its If-Match expects.
func (h *handlers) changeSecret(ctx context.Context, slugOrID, nameOrID string, ifMatch *string) (org, id string, expect int64, err error) {
	if org, expect, err = h.change(ctx, slugOrID, ifMatch); err != nil {
		return "", "", 0, err
	}
	s, err := h.config.Store.Secret(ctx, org, nameOrID)
	return org, s.ID, expect, err
}
