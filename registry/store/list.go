// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// Lists are ordered by name, byte for byte. A page continues after the last name of the page before it, on what there is then: an item that exists all the
// while is neither skipped nor repeated, whatever else comes and goes. Objects whose records do not verify are left out.

// Organizations lists organizations.
func (s *Store) Organizations(ctx context.Context, q Query) (Page[Organization], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Organization]{}, err
	}
	return list(s, m.slugs, "", kindOrganization, q, func(i index) (Organization, bool) {
		o, err := m.orgBySlug(s.space, i.name)
		if err != nil || q.Organization != "" && o.ID != q.Organization || q.Member != "" && !m.isMember(o.ID, q.Member) {
			return Organization{}, false
		}
		return *o, true
	})
}

// Secrets lists secrets, without a value of any.
func (s *Store) Secrets(ctx context.Context, orgID string, q Query) (Page[Secret], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Secret]{}, err
	}
	providerID := q.ProviderID
	if p, err := m.findProvider(s.space, orgID, providerID); err == nil {
		providerID = p.ID
	}
	var held map[string]bool
	if q.Unused {
		if held, err = s.held(ctx, orgID); err != nil {
			return Page[Secret]{}, err
		}
	}
	wanted := func(i index) (Secret, bool) {
		secret, err := m.secretByName(s.space, orgID, i.name)
		if err != nil || (secret.DeletedAt != nil) != q.Deleted || !hasLabels(secret.Labels, q.Labels) ||
			q.Unused && (held[secret.ID] || len(m.references(secret.ID)) > 0) ||
			!q.ExpiringBefore.IsZero() && (secret.ExpiresAt == nil || !secret.ExpiresAt.Before(q.ExpiringBefore)) ||
			q.Storage != "" && secret.Storage != q.Storage ||
			providerID != "" && (secret.Remote == nil || secret.Remote.ProviderID != providerID) {
			return Secret{}, false
		}
		return secret.clone(), true
	}
	if q.Sort != "" && q.Sort != SortName {
		return s.sorted(m, orgID, q, wanted)
	}
	return list(s, m.secretNames, orgID, kindSecret, q, wanted)
}

// held returns the ids of the secrets of an organization that running pods have.
func (s *Store) held(ctx context.Context, orgID string) (map[string]bool, error) {
	held := make(map[string]bool)
	err := s.walkWorkloads(ctx, orgID, "", WorkloadQuery{}, func(_ string, w Workload) bool {
		for _, c := range w.Containers {
			for _, e := range c.Envs {
				held[e.SecretID] = true
			}
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("reading workloads: %w", err)
	}
	return held, nil
}

// Consumers lists consumers.
func (s *Store) Consumers(ctx context.Context, orgID string, q Query) (Page[Consumer], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Consumer]{}, err
	}
	return list(s, m.consumerNames, orgID, kindConsumer, q, func(i index) (Consumer, bool) {
		c, err := m.consumerByName(s.space, orgID, i.name)
		if err != nil || !hasLabels(c.Labels, q.Labels) {
			return Consumer{}, false
		}
		return c.clone(), true
	})
}

// Providers lists providers, without credentials of any.
func (s *Store) Providers(ctx context.Context, orgID string, q Query) (Page[Provider], error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Page[Provider]{}, err
	}
	return list(s, m.providerNames, orgID, kindProvider, q, func(i index) (Provider, bool) {
		p, err := m.providerByName(s.space, orgID, i.name)
		if err != nil {
			return Provider{}, false
		}
		return p.clone(), true
	})
}

// names is an ordered index.
type names interface {
	AscendGreaterOrEqual(from index, yield btree.ItemIterator[index])
	Len() int
}

// list walks an index from where the query continues. get returns the object of an entry, and false for one that is not wanted.
func list[T any](s *Store, names names, orgID, kind string, q Query, get func(index) (T, bool)) (Page[T], error) {
	limit, err := pageSize(q.Limit)
	if err != nil {
		return Page[T]{}, err
	}
	after, err := s.openToken(q.After, kind, orgID, q)
	if err != nil {
		return Page[T]{}, err
	}
	search := strings.ToLower(q.Search)
	page := Page[T]{Items: make([]T, 0, min(limit, names.Len()))}
	last := ""
	names.AscendGreaterOrEqual(index{org: orgID, name: after}, func(i index) bool {
		if i.org != orgID {
			return false
		}
		if i.name == after && after != "" || !strings.Contains(strings.ToLower(i.name), search) {
			return true
		}
		item, ok := get(i)
		if !ok {
			return true
		}
		if len(page.Items) == limit {
			page.Next = s.token(last, kind, orgID, q)
			return false
		}
		page.Items, last = append(page.Items, item), i.name
		return true
	})
	return page, nil
}

func hasLabels(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultPage, nil
	case limit < 0 || limit > MaxPage:
		return 0, invalid("/page_size", "range", "it must be 1 to %d", MaxPage)
	}
	return limit, nil
}
