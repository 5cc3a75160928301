// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/lanyard-dev/lanyard/pkg/redact"
)

// sealedProvider is a provider with the envelope of its credentials, empty if it has none.
type sealedProvider struct {
	Provider
	sealed []byte
}

// Provider returns a provider by name or id.
func (s *Store) Provider(ctx context.Context, orgID, nameOrID string) (Provider, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Provider{}, err
	}
	p, err := m.findProvider(s.space, orgID, nameOrID)
	if err != nil {
		return Provider{}, fmt.Errorf("provider %q: %w", nameOrID, err)
	}
	return p.clone(), nil
}

// FindProvider returns a provider by id, or [ErrNotFound] or [ErrIntegrity].
func (v *View) FindProvider(orgID, id string) (Provider, error) {
	p, err := v.image.provider(v.store.space, orgID, id)
	if err != nil {
		return Provider{}, err
	}
	return p.Provider, nil
}

// AllProviders returns the providers of all organizations. What it yields must not be changed.
func (v *View) AllProviders() iter.Seq[Provider] {
	return func(yield func(Provider) bool) {
		v.image.providers.Ascend(func(p *sealedProvider) bool { return yield(p.Provider) })
	}
}

// OpenCredentials decrypts the credentials of a provider; they are empty if it has none. It returns [ErrNotFound], [ErrIntegrity] or [ErrKey]. The caller
// owns them and should wipe them after use.
func (v *View) OpenCredentials(orgID, id string) (redact.Value, error) {
	p, err := v.image.provider(v.store.space, orgID, id)
	if err != nil {
		return redact.Value{}, err
	}
	return v.store.openCredentials(p)
}

func (m *image) provider(k keyspace, org, id string) (*sealedProvider, error) {
	if p, ok := m.providers.Get(&sealedProvider{Provider: Provider{OrgID: org, Meta: Meta{ID: id}}}); ok {
		return p, nil
	}
	return nil, m.missing(k.provider(org, id))
}

func (m *image) providerByName(k keyspace, org, name string) (*sealedProvider, error) {
	i, ok := m.providerNames.Get(index{org: org, name: name})
	if !ok {
		return nil, m.missing(k.providerName(org, name))
	}
	p, err := m.provider(k, org, i.id)
	if err == nil && p.Name != name {
		return nil, ErrIntegrity // an index record from before the provider was renamed, put back
	}
	return p, err
}

func (m *image) findProvider(k keyspace, org, nameOrID string) (*sealedProvider, error) {
	p, err := m.provider(k, org, nameOrID)
	if errors.Is(err, ErrNotFound) {
		p, err = m.providerByName(k, org, nameOrID)
	}
	return p, err
}

// remotes lists the live secrets that a provider keeps, for people. It looks at every secret of the organization: it is for deletions.
func (m *image) remotes(org, provider string) []Reference {
	var refs []Reference
	m.secrets.AscendGreaterOrEqual(&Secret{OrgID: org}, func(s *Secret) bool {
		if s.OrgID == org && s.DeletedAt == nil && s.Remote != nil && s.Remote.ProviderID == provider {
			refs = append(refs, Reference{Kind: "secret", ID: s.ID, Name: s.Name, Field: "provider_id"})
		}
		return s.OrgID == org
	})
	return refs
}
