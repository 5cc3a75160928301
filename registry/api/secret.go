// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

var errDeleted = errors.New("secret is deleted")

// secretBody is a secret as answers have it. Its grants tell an organization's members which workloads use it, as a consumer's bindings do.
func (s *server) secretBody(from store.Secret) contract.Secret {
	out := contract.Secret{
		ID: from.ID, OrganizationID: from.OrgID, Name: from.Name, Description: from.Description, Labels: nonNil(from.Labels), Storage: contract.Storage(from.Storage),
		Grants: each(from.Grants, binding), ActiveVersion: optional(from.ActiveVersion), LastVersion: optional(from.LastVersion), ExpiresAt: from.ExpiresAt, DeletedAt: from.DeletedAt, PurgeAt: s.store.PurgeAt(from),
		CreatedAt: from.CreatedAt, CreatedBy: from.CreatedBy, UpdatedAt: from.UpdatedAt, UpdatedBy: from.UpdatedBy, Etag: etag(from.Meta),
	}
	if r := from.Remote; r != nil {
		out.ProviderID, out.RemotePath, out.RemoteKey, out.RemoteVersion = &r.ProviderID, &r.Path, optional(r.Key), optional(r.Version)
	}
	return out
}

func nonNil(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// secret looks a secret up in an organization.
func (s *server) secret(ctx context.Context, org, nameOrID string) (store.Secret, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.Secret{}, err
	}
	return s.store.Secret(ctx, o.ID, nameOrID)
}

// change looks up a secret that is about to be changed, and returns the revision it must have by then.
func (s *server) change(ctx context.Context, org, nameOrID string, ifMatch *string) (store.Secret, int64, error) {
	found, err := s.secret(ctx, org, nameOrID)
	if err != nil {
		return store.Secret{}, 0, err
	}
	if found.DeletedAt != nil {
		return store.Secret{}, 0, errDeleted
	}
	expect, err := s.expect(ifMatch, found.Meta)
	return found, expect, err
}

// ListSecrets implements ginapi.StrictServerInterface.
func (s *server) ListSecrets(ctx context.Context, r ginapi.ListSecretsRequestObject) (ginapi.ListSecretsResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Secrets(ctx, o.ID, store.Query{
		Search: or(r.Params.Q, ""), Labels: labelFilter(r.Params.Label), Storage: store.Storage(or(r.Params.Storage, "")),
		ProviderID: or(r.Params.ProviderID, ""), Deleted: or(r.Params.Deleted, false), ExpiringBefore: or(r.Params.ExpiringBefore, time.Time{}), Unused: or(r.Params.Unused, false), Sort: store.Sort(or(r.Params.Sort, "")), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0),
	})
	if err != nil {
		return nil, err
	}
	return ginapi.ListSecrets200JSONResponse{Items: each(page.Items, s.secretBody), NextPageToken: optional(page.Next)}, nil
}

// CreateSecret implements ginapi.StrictServerInterface.
func (s *server) CreateSecret(ctx context.Context, r ginapi.CreateSecretRequestObject) (ginapi.CreateSecretResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	value, err := readValue(r.Body.Value, r.Body.ValueBase64, r.Body.Generate)
	if err != nil {
		return nil, err
	}
	defer wipe(value)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	n := store.NewSecret{
		Name: r.Body.Name, Description: or(r.Body.Description, ""), Labels: or(r.Body.Labels, nil),
		Storage: store.Storage(or(r.Body.Storage, "")), Value: value, Grants: bindings(or(r.Body.Grants, nil), s.cluster), ExpiresAt: r.Body.ExpiresAt,
	}
	edit := remoteEdit{r.Body.ProviderID, r.Body.RemotePath, r.Body.RemoteKey, r.Body.RemoteVersion}
	if edit.given() {
		if value != nil {
			return nil, edit.refuseValue(valueField(r.Body.Value, r.Body.Generate))
		}
		n.Remote = new(store.Remote)
		edit.apply(n.Remote)
	}
	var created store.Secret
	if err := s.once(ctx, call, func() (err error) {
		created, err = s.store.CreateSecret(ctx, call.act(), o.ID, n)
		return err
	}, &created); err != nil {
		return nil, err
	}
	return ginapi.CreateSecret201JSONResponse{
		Body:    s.secretBody(created),
		Headers: ginapi.CreateSecret201ResponseHeaders{ETag: etag(created.Meta), Location: secretPath(created)},
	}, nil
}

func secretPath(s store.Secret) string { return organizationsPath + s.OrgID + "/secrets/" + s.ID }

// GetSecret implements ginapi.StrictServerInterface.
func (s *server) GetSecret(ctx context.Context, r ginapi.GetSecretRequestObject) (ginapi.GetSecretResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.secret(ctx, r.Organization, r.Secret)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, found.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetSecret304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(found.Meta)}}, nil
	}
	return ginapi.GetSecret200JSONResponse{Body: s.secretBody(found), Headers: ginapi.GetSecret200ResponseHeaders{ETag: etag(found.Meta)}}, nil
}

// UpdateSecret implements ginapi.StrictServerInterface.
func (s *server) UpdateSecret(ctx context.Context, r ginapi.UpdateSecretRequestObject) (ginapi.UpdateSecretResponseObject, error) {
	ctx, call := begun(ctx)
	value, err := readValue(r.Body.Value, r.Body.ValueBase64, r.Body.Generate)
	if err != nil {
		return nil, err
	}
	defer wipe(value)
	found, expect, err := s.change(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	changed, err := s.store.ReviseSecret(ctx, call.act(), found.OrgID, found.ID, expect, secretEdit{*r.Body, s.cluster}.apply, value)
	if err != nil {
		return nil, err
	}
	return ginapi.UpdateSecret200JSONResponse{Body: s.secretBody(changed), Headers: ginapi.UpdateSecret200ResponseHeaders{ETag: etag(changed.Meta)}}, nil
}

// DeleteSecret implements ginapi.StrictServerInterface.
func (s *server) DeleteSecret(ctx context.Context, r ginapi.DeleteSecretRequestObject) (ginapi.DeleteSecretResponseObject, error) {
	ctx, call := begun(ctx)
	found, expect, err := s.change(ctx, r.Organization, r.Secret, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteSecret(ctx, call.act(), found.OrgID, found.ID, expect, or(r.Params.Force, false)); err != nil {
		return nil, err
	}
	return ginapi.DeleteSecret204Response{}, nil
}

// UndeleteSecret implements ginapi.StrictServerInterface.
func (s *server) UndeleteSecret(ctx context.Context, r ginapi.UndeleteSecretRequestObject) (ginapi.UndeleteSecretResponseObject, error) {
	ctx, call := begun(ctx)
	var restored store.Secret
	if err := s.once(ctx, call, func() error {
		found, err := s.secret(ctx, r.Organization, r.Secret)
		if err != nil {
			return err
		}
		expect, err := s.expect(r.Params.IfMatch, found.Meta)
		if err != nil {
			return err
		}
		restored, err = s.store.UndeleteSecret(ctx, call.act(), found.OrgID, found.ID, expect)
		return err
	}, &restored); err != nil {
		return nil, err
	}
	return ginapi.UndeleteSecret200JSONResponse{Body: s.secretBody(restored), Headers: ginapi.UndeleteSecret200ResponseHeaders{ETag: etag(restored.Meta)}}, nil
}

// ListReferences implements ginapi.StrictServerInterface.
func (s *server) ListReferences(ctx context.Context, r ginapi.ListReferencesRequestObject) (ginapi.ListReferencesResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	refs, err := s.store.References(ctx, o.ID, r.Secret)
	if err != nil {
		return nil, err
	}
	return ginapi.ListReferences200JSONResponse{Items: references(refs)}, nil
}

func references(refs []store.Reference) []contract.Reference {
	return each(refs, func(r store.Reference) contract.Reference {
		return contract.Reference{Kind: r.Kind, ID: r.ID, Name: r.Name, Field: r.Field}
	})
}
