// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"slices"
	"strings"
	"time"

	contract "github.com/lanyard-dev/lanyard/pkg/api"
	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/api/ginapi"
	"github.com/lanyard-dev/lanyard/registry/store"
)

func (s *server) providerAnswer(p store.Provider) contract.Provider {
	prefixes := p.AllowedPrefixes
	if prefixes == nil {
		prefixes = []string{}
	}
	return contract.Provider{
		ID: p.ID, OrganizationID: p.OrgID, Name: p.Name, Type: p.Type, Config: p.Config, AllowedPrefixes: prefixes, LastKnownGood: lastKnownGoodAnswer(p.LastKnownGood), CredentialsSet: p.HasCredentials, PodAudience: optional(s.checker.ProviderAudience(p)), Health: s.checker.ProviderHealth(p),
		CreatedAt: p.CreatedAt, CreatedBy: p.CreatedBy, UpdatedAt: p.UpdatedAt, UpdatedBy: p.UpdatedBy, Etag: etag(p.Meta),
	}
}

func lastKnownGoodAnswer(l *store.LastKnownGood) *contract.LastKnownGood {
	if l == nil {
		return nil
	}
	text := l.MaximumAge.String() // "1h0m0s"
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return &contract.LastKnownGood{MaximumAge: text}
}

// lastKnownGood reads what a caller gave; its grammar was checked, its range is the store's to check.
func lastKnownGood(given *contract.LastKnownGood) (*store.LastKnownGood, error) {
	if given == nil {
		return nil, nil
	}
	age, err := time.ParseDuration(given.MaximumAge)
	if err != nil { // a number that is too large
		return nil, &store.FieldError{Pointer: "/last_known_good/maximum_age", Code: "syntax", Message: "it must be a duration such as 1h or 30m"}
	}
	return &store.LastKnownGood{MaximumAge: age}, nil
}

// provider looks a provider up in an organization.
func (s *server) provider(ctx context.Context, org, nameOrID string) (store.Provider, error) {
	o, err := s.org(ctx, org)
	if err != nil {
		return store.Provider{}, err
	}
	return s.store.Provider(ctx, o.ID, nameOrID)
}

// ListProviders implements ginapi.StrictServerInterface.
func (s *server) ListProviders(ctx context.Context, r ginapi.ListProvidersRequestObject) (ginapi.ListProvidersResponseObject, error) {
	ctx, _ = begun(ctx)
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Providers(ctx, o.ID, store.Query{Search: or(r.Params.Q, ""), After: or(r.Params.PageToken, ""), Limit: or(r.Params.PageSize, 0)})
	if err != nil {
		return nil, err
	}
	return ginapi.ListProviders200JSONResponse{Items: each(page.Items, s.providerAnswer), NextPageToken: optional(page.Next)}, nil
}

// CreateProvider implements ginapi.StrictServerInterface.
func (s *server) CreateProvider(ctx context.Context, r ginapi.CreateProviderRequestObject) (ginapi.CreateProviderResponseObject, error) {
	ctx, call := begun(ctx)
	if err := checkCreate(r.Params.IfNoneMatch); err != nil {
		return nil, err
	}
	n := store.NewProvider{Name: r.Body.Name, Type: r.Body.Type, Config: r.Body.Config, AllowedPrefixes: or(r.Body.AllowedPrefixes, nil)}
	var err error
	if n.LastKnownGood, err = lastKnownGood(r.Body.LastKnownGood); err != nil {
		return nil, err
	}
	if r.Body.Credentials != nil {
		credentials := redact.New(*r.Body.Credentials)
		defer credentials.Wipe()
		n.Credentials = &credentials
	}
	o, err := s.org(ctx, r.Organization)
	if err != nil {
		return nil, err
	}
	var created store.Provider
	if err := s.once(ctx, call, func() (err error) {
		created, err = s.store.CreateProvider(ctx, call.act(), o.ID, n)
		return err
	}, &created); err != nil {
		return nil, err
	}
	return ginapi.CreateProvider201JSONResponse{Body: s.providerAnswer(created), Headers: ginapi.CreateProvider201ResponseHeaders{
		ETag: etag(created.Meta), Location: organizationsPath + created.OrgID + "/providers/" + created.ID,
	}}, nil
}

// GetProvider implements ginapi.StrictServerInterface.
func (s *server) GetProvider(ctx context.Context, r ginapi.GetProviderRequestObject) (ginapi.GetProviderResponseObject, error) {
	ctx, _ = begun(ctx)
	found, err := s.provider(ctx, r.Organization, r.Provider)
	if err != nil {
		return nil, err
	}
	if same, err := known(r.Params.IfNoneMatch, found.Meta); err != nil {
		return nil, err
	} else if same {
		return ginapi.GetProvider304Response{Headers: ginapi.NotModifiedResponseHeaders{ETag: etag(found.Meta)}}, nil
	}
	return ginapi.GetProvider200JSONResponse{Body: s.providerAnswer(found), Headers: ginapi.GetProvider200ResponseHeaders{ETag: etag(found.Meta)}}, nil
}

// UpdateProvider implements ginapi.StrictServerInterface.
func (s *server) UpdateProvider(ctx context.Context, r ginapi.UpdateProviderRequestObject) (ginapi.UpdateProviderResponseObject, error) {
	ctx, call := begun(ctx)
	var credentials *redact.Value
	if given := r.Body.Credentials; given.IsSpecified() {
		raw, _ := given.Get() // nothing for null, which removes them
		v := redact.New(raw)
		defer v.Wipe()
		credentials = &v
	}
	var keep *store.LastKnownGood // nil also for null, which turns it off
	if given, err := r.Body.LastKnownGood.Get(); err == nil {
		if keep, err = lastKnownGood(&given); err != nil {
			return nil, err
		}
	}
	found, err := s.provider(ctx, r.Organization, r.Provider)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, found.Meta)
	if err != nil {
		return nil, err
	}
	changed, err := s.store.ReviseProvider(ctx, call.act(), found.OrgID, found.ID, expect, func(p *store.Provider) error {
		p.Name, p.Type, p.Config = or(r.Body.Name, p.Name), or(r.Body.Type, p.Type), or(r.Body.Config, p.Config)
		p.AllowedPrefixes = slices.Clone(or(r.Body.AllowedPrefixes, p.AllowedPrefixes))
		if r.Body.LastKnownGood.IsSpecified() {
			p.LastKnownGood = keep
		}
		return nil
	}, credentials)
	if err != nil {
		return nil, err
	}
	return ginapi.UpdateProvider200JSONResponse{Body: s.providerAnswer(changed), Headers: ginapi.UpdateProvider200ResponseHeaders{ETag: etag(changed.Meta)}}, nil
}

// DeleteProvider implements ginapi.StrictServerInterface.
func (s *server) DeleteProvider(ctx context.Context, r ginapi.DeleteProviderRequestObject) (ginapi.DeleteProviderResponseObject, error) {
	ctx, call := begun(ctx)
	found, err := s.provider(ctx, r.Organization, r.Provider)
	if err != nil {
		return nil, err
	}
	expect, err := s.expect(r.Params.IfMatch, found.Meta)
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteProvider(ctx, call.act(), found.OrgID, found.ID, expect); err != nil {
		return nil, err
	}
	return ginapi.DeleteProvider204Response{}, nil
}
