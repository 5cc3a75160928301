// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/pkg/redact"
	"github.com/lanyard-dev/lanyard/registry/audit"
	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// ProviderRules is what the types of providers ask of providers and of references to them. Methods do no I/O, keep nothing and may be called more than once
// for one change. Their errors are [FieldError]s, with the pointers of [Provider] and [Remote] and without a part of the credentials.
type ProviderRules interface {
	// CheckProvider reports the first rule that a provider breaks. Credentials are a JSON object, or empty.
	CheckProvider(p Provider, credentials redact.Value) error
	// CheckRemote reports why a reference can never be read through p, its allowed prefixes among the reasons.
	CheckRemote(p Provider, r Remote) error
}

// CreateProvider creates a provider. It returns a [FieldError], [ErrExists] or [ErrNotFound] for the organization. The caller keeps the credentials and may
// wipe them afterwards.
func (s *Store) CreateProvider(ctx context.Context, act Act, orgID string, n NewProvider) (Provider, error) {
	p := Provider{Meta: act.meta(), OrgID: orgID, Name: n.Name, Type: n.Type, Config: n.Config, AllowedPrefixes: slices.Clone(n.AllowedPrefixes), LastKnownGood: clonePointer(n.LastKnownGood)}
	if given(n.Credentials) {
		p.HasCredentials, p.CredentialsVersion = true, 1
	}
	if err := s.checkProvider(&p, n.Credentials); err != nil {
		return Provider{}, fmt.Errorf("creating provider: %w", err)
	}
	rev, err := s.mutateOnce(ctx, act, orgID, func(m *image) (*change, error) {
		if _, err := m.org(s.space, orgID); err != nil {
			return nil, fmt.Errorf("organization: %w", err)
		}
		if _, err := m.providerByName(s.space, orgID, p.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("provider %q: %w", p.Name, taken(err))
		}
		name := s.space.providerName(orgID, p.Name)
		ch := s.providerChange(act, audit.ProviderCreate, p, 0)
		ch.compares = append(ch.compares, absent(name))
		if err := s.putProvider(ch, p, n.Credentials); err != nil {
			return nil, err
		}
		return ch, s.puts(ch, record{name, kindProviderName, p.ID})
	}, &p)
	if err != nil {
		return Provider{}, fmt.Errorf("creating provider: %w", err)
	}
	p.Revision = rev
	return p, nil
}

// ReviseProvider changes name, type, configuration, allowed prefixes and the use of last known good values, and the credentials if they are not nil; empty ones remove what there is. edit's
// changes of other fields are undone, and it may be called more than once. It returns [ErrNotFound], a [ConflictError], a [FieldError], [ErrExists] or edit's error.
//
// Credentials go where type and configuration say. Whoever changes those must give them again, so that nobody can have them sent to himself without knowing
// them.
func (s *Store) ReviseProvider(ctx context.Context, act Act, orgID, id string, expect int64, edit func(*Provider) error, credentials *redact.Value) (Provider, error) {
	var p Provider
	rev, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		old, err := m.provider(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		p = old.clone()
		if err := edit(&p); err != nil {
			return nil, err
		}
		p = p.clone() // what the caller put in stays the caller's
		p.Meta, p.OrgID, p.HasCredentials, p.CredentialsVersion = old.Meta, old.OrgID, old.HasCredentials, old.CredentialsVersion
		return s.reviseProvider(m, act, old, &p, credentials)
	})
	if err != nil {
		return Provider{}, fmt.Errorf("updating provider: %w", err)
	}
	p.settleRevision(rev)
	return p, nil
}

func (s *Store) reviseProvider(m *image, act Act, old *sealedProvider, p *Provider, credentials *redact.Value) (*change, error) {
	kept, err := s.openCredentials(old)
	if err != nil && credentials == nil {
		return nil, err
	}
	defer kept.Wipe()
	use := &kept
	if credentials != nil {
		use = credentials
	}
	err = s.checkProvider(p, use)
	changed := changedProviderFields(old.Provider, *p)
	if err != nil && (credentials != nil || !inherited(err, changed)) {
		return nil, err
	}
	if old.HasCredentials && credentials == nil && (slices.Contains(changed, "type") || slices.Contains(changed, "config")) {
		return nil, invalid("/credentials", "required", "type or config says where the credentials go; give the credentials again with the change, or null to remove them")
	}
	if credentials != nil && string(kept.Reveal()) != string(credentials.Reveal()) {
		p.HasCredentials = given(credentials)
		p.CredentialsVersion++
		changed = append(changed, "credentials")
	}
	if len(changed) == 0 {
		return nil, nil
	}
	p.update(act)
	ch := s.providerChange(act, audit.ProviderUpdate, *p, old.Revision)
	ch.event.Changed = changed
	ch.ops = append(ch.ops, s.dropLastGoodOf(p.OrgID, p.ID))
	if p.Name != old.Name {
		if _, err := m.providerByName(s.space, p.OrgID, p.Name); !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("provider %q: %w", p.Name, taken(err))
		}
		name := s.space.providerName(p.OrgID, p.Name)
		ch.compares = append(ch.compares, absent(name))
		ch.ops = append(ch.ops, clientv3.OpDelete(s.space.providerName(p.OrgID, old.Name)))
		if err := s.puts(ch, record{name, kindProviderName, p.ID}); err != nil {
			return nil, err
		}
	}
	return ch, s.putProvider(ch, *p, use)
}

// inherited reports whether a broken rule is about type, configuration or credentials and none of these changes: the operator's policy is another than when they
// were written. That must not keep anybody from narrowing the prefixes. Reads are checked anew.
func inherited(err error, changed []string) bool {
	broken, ok := errors.AsType[*FieldError](err)
	if !ok || slices.Contains(changed, "type") || slices.Contains(changed, "config") {
		return false
	}
	field, _, _ := strings.Cut(strings.TrimPrefix(broken.Pointer, "/"), "/")
	return field == "type" || field == "config" || field == "credentials"
}

// DeleteProvider deletes a provider and its credentials for good. While remote secrets refer to it, it returns a [ReferencedError] that lists them; deleted
// secrets do not count.
func (s *Store) DeleteProvider(ctx context.Context, act Act, orgID, id string, expect int64) error {
	_, err := s.mutate(ctx, orgID, func(m *image) (*change, error) {
		old, err := m.provider(s.space, orgID, id)
		if err != nil {
			return nil, err
		}
		if err := old.expect(expect); err != nil {
			return nil, err
		}
		if refs := m.remotes(orgID, id); len(refs) > 0 {
			return nil, &ReferencedError{refs}
		}
		ch := s.providerChange(act, audit.ProviderDelete, old.Provider, old.Revision)
		ch.ops = []clientv3.Op{clientv3.OpDelete(s.space.provider(orgID, id)), clientv3.OpDelete(s.space.providerName(orgID, old.Name)), s.dropLastGoodOf(orgID, id)}
		return ch, nil
	})
	if err != nil {
		return fmt.Errorf("deleting provider: %w", err)
	}
	return nil
}

// providerChange begins a change of a provider that is now at revision rev, 0 for a new one.
func (s *Store) providerChange(act Act, action audit.Action, p Provider, rev int64) *change {
	ch := &change{
		compares: []clientv3.Cmp{exists(s.space.provider(p.OrgID, p.ID), rev)},
		event:    act.event(p.OrgID, action),
	}
	ch.event.ResourceKind, ch.event.ResourceID, ch.event.ResourceName = "provider", p.ID, p.Name
	return ch
}

// putProvider adds the write of a provider with its credentials.
func (s *Store) putProvider(ch *change, p Provider, credentials *redact.Value) error {
	key := s.space.provider(p.OrgID, p.ID)
	var sealed []byte
	if p.HasCredentials {
		var err error
		if sealed, err = s.keys.Seal(envelope.Context{Org: p.OrgID, Secret: p.ID, Version: p.CredentialsVersion, Key: key}, credentials.Reveal()); err != nil {
			return fmt.Errorf("sealing credentials: %w", err)
		}
	}
	record, err := sealWith(s.keys, key, kindProvider, p, sealed)
	ch.ops = append(ch.ops, clientv3.OpPut(key, record))
	return err
}

// openCredentials decrypts the credentials of a provider, empty ones if it has none. It returns ErrIntegrity or ErrKey. The caller wipes them.
func (s *Store) openCredentials(p *sealedProvider) (redact.Value, error) {
	if !p.HasCredentials {
		return redact.Value{}, nil
	}
	key := s.space.provider(p.OrgID, p.ID)
	plain, err := s.keys.Open(envelope.Context{Org: p.OrgID, Secret: p.ID, Version: p.CredentialsVersion, Key: key}, p.sealed)
	if err != nil {
		return redact.Value{}, fmt.Errorf("opening credentials: %w", keyError(err))
	}
	return redact.New(plain), nil
}

// resolveRemote replaces the name of a provider in a reference by its id and checks the reference. One that is as it was is kept: what was sound when it was
// written must not keep an operator from changing something else.
func (s *Store) resolveRemote(m *image, orgID string, remote, had *Remote) error {
	if remote == nil || had != nil && *remote == *had {
		return nil
	}
	p, err := m.findProvider(s.space, orgID, remote.ProviderID)
	switch {
	case errors.Is(err, ErrNotFound):
		return invalid("/provider_id", "unknown", "there is no such provider in this organization")
	case err != nil:
		return fmt.Errorf("provider: %w", err)
	}
	remote.ProviderID = p.ID
	if s.config.Providers == nil || had != nil && *remote == *had {
		return nil
	}
	return s.config.Providers.CheckRemote(p.Provider, *remote)
}

// changedProviderFields names what differs between two states of a provider, but for the credentials.
func changedProviderFields(a, b Provider) []string {
	var names []string
	add := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	add("name", a.Name != b.Name)
	add("type", a.Type != b.Type)
	add("config", string(a.Config) != string(b.Config))
	add("allowed_prefixes", !slices.Equal(a.AllowedPrefixes, b.AllowedPrefixes))
	add("last_known_good", !equalPointers(a.LastKnownGood, b.LastKnownGood, func(x, y LastKnownGood) bool { return x == y }))
	return names
}

func given(credentials *redact.Value) bool {
	return credentials != nil && len(credentials.Reveal()) > 0
}

// clone returns a copy that shares nothing a caller could change.
func (p *Provider) clone() Provider {
	c := *p
	c.Config, c.AllowedPrefixes = slices.Clone(p.Config), slices.Clone(p.AllowedPrefixes)
	c.LastKnownGood = clonePointer(p.LastKnownGood)
	return c
}
