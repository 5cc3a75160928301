// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unique"

	"github.com/lanyard-dev/lanyard/registry/envelope"
)

// edit makes an image from another by applying changes in the order of their revisions. It does no I/O.
type edit struct {
	*image
	keys  Keys
	space keyspace

	labels   map[string]map[string]string // :: text of a set of labels → the one copy of it this edit keeps
	touched  map[namedKey]struct{}        // what the names stream may have to tell anew
	failures []failure                    // records that did not verify
	stale    int                          // changes older than what is there; etcd promises that there are none
}

// namedKey is a consumer, or a secret with grants, whose names admission needs.
type namedKey struct{ kind, org, id string }

type failure struct {
	key string
	err error
}

func newEdit(from *image, keys Keys, space keyspace) *edit {
	return &edit{image: from, keys: keys, space: space, labels: make(map[string]map[string]string), touched: make(map[namedKey]struct{})}
}

// put applies a key that was written at revision rev. It keeps no part of value but copies.
func (e *edit) put(key string, value []byte, rev int64) {
	a, ok := e.space.parse(key)
	if !ok || a.kind == kindSchema || a.kind == kindKeyCheck {
		return
	}
	if a.kind == kindTip {
		e.tip = max(e.tip, rev)
		return
	}
	if have, _ := e.revision(key, a); have >= rev {
		if have > rev {
			e.stale++
		}
		return
	}
	if err := e.load(key, a, value, rev); err != nil {
		e.remove(key, a)
		e.setBroken(key, brokenRecord{rev, fmt.Errorf("%s: %w", key, err)})
		e.failures = append(e.failures, failure{key, err})
		return
	}
	e.clearBroken(key)
}

// del applies the deletion of a key.
func (e *edit) del(key string, rev int64) {
	a, ok := e.space.parse(key)
	if !ok {
		return
	}
	if have, _ := e.revision(key, a); have > rev {
		e.stale++
		return
	}
	e.remove(key, a)
	e.clearBroken(key)
}

var errMisplaced = errors.New("object does not belong to its key")

func (e *edit) load(key string, a address, value []byte, rev int64) error {
	switch a.kind {
	case kindSlug, kindSecretName, kindConsumerName, kindProviderName:
		i := index{org: unique.Make(a.org).Value(), name: strings.Clone(a.id), rev: rev} // a.id would keep the whole key
		if err := unseal(e.keys, key, a.kind, value, &i.id); err != nil {
			return err
		}
		e.indexes(a.kind).ReplaceOrInsert(i)
	case kindOrganization:
		o := new(Organization)
		if err := unseal(e.keys, key, a.kind, value, o); err != nil {
			return err
		}
		if o.ID != a.id {
			return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
		}
		o.settle(rev)
		e.orgs.ReplaceOrInsert(o)
	case kindSecret:
		s := new(Secret)
		if err := unseal(e.keys, key, a.kind, value, s); err != nil {
			return err
		}
		if s.ID != a.id || s.OrgID != a.org {
			return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
		}
		s.settle(rev)
		s.OrgID, s.Storage, s.Labels = unique.Make(s.OrgID).Value(), unique.Make(s.Storage).Value(), e.shareLabels(s.Labels)
		if i, ok := e.secretNames.Get(index{org: s.OrgID, name: s.Name}); ok && i.id == s.ID {
			s.ID, s.Name = i.id, i.name
		}
		old, _ := e.secrets.ReplaceOrInsert(s)
		e.touchGranted(old)
		e.touchUsers(s.OrgID, s.ID)
	case kindVersion:
		var v Version
		sealed, err := unsealWith(e.keys, key, kindVersion, value, &v)
		if err != nil {
			return err
		}
		if v.Number != a.number {
			return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
		}
		v.CreatedBy = unique.Make(v.CreatedBy).Value()
		v.NoEnvfile, v.NoExec = unique.Make(v.NoEnvfile).Value(), unique.Make(v.NoExec).Value()
		e.versions.ReplaceOrInsert(&sealedVersion{v, unique.Make(a.org).Value(), e.shareID(a.org, a.id), bytes.Clone(sealed), rev})
		e.touchUsers(a.org, a.id)
	case kindProvider:
		p := new(sealedProvider)
		sealed, err := unsealWith(e.keys, key, kindProvider, value, &p.Provider)
		if err != nil {
			return err
		}
		if p.ID != a.id || p.OrgID != a.org {
			return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
		}
		p.settle(rev)
		p.sealed = bytes.Clone(sealed)
		if old, ok := e.providers.ReplaceOrInsert(p); !ok || !bytes.Equal(old.Config, p.Config) || old.Type != p.Type {
			e.touchProvider(p.OrgID, p.ID)
		}
	case kindConsumer:
		c := new(Consumer)
		if err := unseal(e.keys, key, a.kind, value, c); err != nil {
			return err
		}
		if c.ID != a.id || c.OrgID != a.org {
			return fmt.Errorf("%w: %w", ErrIntegrity, errMisplaced)
		}
		c.settle(rev)
		c.OrgID, c.Kind, c.Labels = unique.Make(c.OrgID).Value(), unique.Make(c.Kind).Value(), e.shareLabels(c.Labels)
		e.removeConsumer(a)
		e.consumers.ReplaceOrInsert(c)
		e.addUses(c)
		e.touched[namedKey{kindConsumer, c.OrgID, c.ID}] = struct{}{}
	case kindMember:
		return e.loadMember(key, a, value, rev)
	case kindAPIToken:
		return e.loadAPIToken(key, a, value, rev)
	case kindInvitation:
		return e.loadInvitation(key, a, value, rev)
	case kindFederation:
		return e.loadFederation(key, a, value, rev)
	case kindFederated:
		return e.loadFederated(key, a, value, rev)
	case kindSession:
		return e.loadSession(key, a, value, rev)
	case kindAdministrator:
		return e.loadAdministrator(key, a, value, rev)
	case kindBootstrap:
		return e.loadBootstrapEnd(key, a, value, rev)
	case kindSessionUse:
		return e.loadSessionUse(key, a, value, rev)
	}
	return nil
}

// addUses notes which secrets a consumer that is not published yet refers to.
func (e *edit) addUses(c *Consumer) {
	for i := range c.Envs {
		if env := &c.Envs[i]; env.SecretID != "" {
			env.SecretID = e.shareID(c.OrgID, env.SecretID)
			e.uses.ReplaceOrInsert(use{env.SecretID, c})
		}
	}
}

// finish is called after a full load: consumers come before the secrets they refer to, whose ids they share from now on.
func (e *edit) finish() {
	e.consumers.Ascend(func(c *Consumer) bool {
		e.addUses(c)
		return true
	})
}

// shareID returns the copy of a secret's id that the secret has, so that memory holds one; or a copy of its own.
func (e *edit) shareID(org, id string) string {
	if s, ok := e.secrets.Get(&Secret{OrgID: org, Meta: Meta{ID: id}}); ok {
		return s.ID
	}
	return strings.Clone(id)
}

// shareLabels returns one map for all equal sets of labels. Many objects have the same few, and a map takes more memory than the rest of a secret.
func (e *edit) shareLabels(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return labels
	}
	if shared, ok := e.labels[string(text)]; ok {
		return shared
	}
	e.labels[string(text)] = labels
	return labels
}

// settle sets the revision and shares the strings that most objects have in common.
func (m *Meta) settle(rev int64) {
	m.Revision = rev
	m.CreatedBy, m.UpdatedBy = unique.Make(m.CreatedBy).Value(), unique.Make(m.UpdatedBy).Value()
}

func (e *edit) remove(key string, a address) {
	switch a.kind {
	case kindSlug, kindSecretName, kindConsumerName, kindProviderName:
		e.indexes(a.kind).Delete(index{org: a.org, name: a.id})
	case kindOrganization:
		e.orgs.Delete(&Organization{Meta: Meta{ID: a.id}})
		e.touchAll(a.id)
	case kindSecret:
		old, _ := e.secrets.Delete(&Secret{OrgID: a.org, Meta: Meta{ID: a.id}})
		e.touchGranted(old)
		e.touchUsers(a.org, a.id)
	case kindVersion:
		if v, err := e.version(e.space, a.org, a.id, a.number); err == nil {
			e.versions.Delete(v)
			e.touchUsers(a.org, a.id)
		}
	case kindProvider:
		e.providers.Delete(&sealedProvider{Provider: Provider{OrgID: a.org, Meta: Meta{ID: a.id}}})
		e.touchProvider(a.org, a.id)
	case kindConsumer:
		e.removeConsumer(a)
		e.touched[namedKey{kindConsumer, a.org, a.id}] = struct{}{}
	case kindMember:
		e.removeMember(a)
	case kindAPIToken:
		e.removeAPIToken(a)
	case kindInvitation:
		e.removeInvitation(a)
	case kindFederation:
		e.removeFederation(a)
	case kindFederated:
		e.removeFederated(a)
	case kindSession:
		e.removeSession(a)
	case kindAdministrator:
		e.administrators.Delete(administratorAt(a))
	case kindBootstrap:
		e.end = nil
	case kindSessionUse:
		e.used.Delete(&sessionUse{id: a.id})
	}
}

func (e *edit) removeConsumer(a address) {
	old, ok := e.consumers.Delete(&Consumer{OrgID: a.org, Meta: Meta{ID: a.id}})
	if !ok {
		return
	}
	for _, env := range old.Envs {
		if env.SecretID != "" {
			e.uses.Delete(use{env.SecretID, old})
		}
	}
}

// touchUsers marks everything that depends on a secret: the consumers that refer to it, and itself if pods may.
func (e *edit) touchUsers(org, secret string) {
	if s, ok := e.secrets.Get(&Secret{OrgID: org, Meta: Meta{ID: secret}}); ok {
		e.touchGranted(s)
	}
	e.users(secret, func(c *Consumer) bool {
		e.touched[namedKey{kindConsumer, c.OrgID, c.ID}] = struct{}{}
		return true
	})
}

// touchProvider marks everything that depends on the secrets of a provider: what a pod needs to have them read may be another. Providers change seldom, so that a look at each secret
// is cheap enough.
func (e *edit) touchProvider(org, provider string) {
	e.secrets.AscendGreaterOrEqual(&Secret{OrgID: org}, func(s *Secret) bool {
		if s.OrgID != org {
			return false
		}
		if s.Remote != nil && s.Remote.ProviderID == provider {
			e.touchUsers(org, s.ID)
		}
		return true
	})
}

// touchAll marks everything in an organization that is gone, and whose contents go after it.
func (e *edit) touchAll(org string) {
	e.consumers.AscendGreaterOrEqual(&Consumer{OrgID: org}, func(c *Consumer) bool {
		if c.OrgID == org {
			e.touched[namedKey{kindConsumer, org, c.ID}] = struct{}{}
		}
		return c.OrgID == org
	})
	e.secrets.AscendGreaterOrEqual(&Secret{OrgID: org}, func(s *Secret) bool {
		if s.OrgID == org {
			e.touchGranted(s)
		}
		return s.OrgID == org
	})
}

// touchGranted marks a secret, if there is one and it has grants.
func (e *edit) touchGranted(s *Secret) {
	if s != nil && len(s.Grants) > 0 {
		e.touched[namedKey{kindSecret, s.OrgID, s.ID}] = struct{}{}
	}
}

func (m *image) indexes(kind string) interface {
	ReplaceOrInsert(index) (index, bool)
	Delete(index) (index, bool)
	Get(index) (index, bool)
} {
	switch kind {
	case kindSlug:
		return m.slugs
	case kindSecretName:
		return m.secretNames
	case kindProviderName:
		return m.providerNames
	}
	return m.consumerNames
}

// revision returns the mod revision the image has for a key, 0 and false if it has none.
func (m *image) revision(key string, a address) (int64, bool) {
	if b, ok := m.broken[key]; ok {
		return b.rev, true
	}
	switch a.kind {
	case kindSlug, kindSecretName, kindConsumerName, kindProviderName:
		i, ok := m.indexes(a.kind).Get(index{org: a.org, name: a.id})
		return i.rev, ok
	case kindOrganization:
		if o, ok := m.orgs.Get(&Organization{Meta: Meta{ID: a.id}}); ok {
			return o.Revision, true
		}
	case kindSecret:
		if s, ok := m.secrets.Get(&Secret{OrgID: a.org, Meta: Meta{ID: a.id}}); ok {
			return s.Revision, true
		}
	case kindVersion:
		if v, ok := m.versions.Get(&sealedVersion{secret: a.id, Version: Version{Number: a.number}}); ok && v.org == a.org {
			return v.rev, true
		}
	case kindProvider:
		if p, ok := m.providers.Get(&sealedProvider{Provider: Provider{OrgID: a.org, Meta: Meta{ID: a.id}}}); ok {
			return p.Revision, true
		}
	case kindConsumer:
		if c, ok := m.consumers.Get(&Consumer{OrgID: a.org, Meta: Meta{ID: a.id}}); ok {
			return c.Revision, true
		}
	case kindMember:
		if m, ok := m.members.Get(memberAt(a)); ok {
			return m.Revision, true
		}
	case kindAPIToken:
		if t, ok := m.tokens.Get(tokenAt(a)); ok {
			return t.Revision, true
		}
	case kindInvitation:
		if i, ok := m.invitations.Get(invitationAt(a.org, a.id)); ok {
			return i.Revision, true
		}
	case kindFederation:
		if f, ok := m.federations.byName.Get(federationAt(a)); ok {
			return f.Revision, true
		}
	case kindFederated:
		if t, ok := m.federations.tokens.Get(federatedAt(a)); ok {
			return t.Revision, true
		}
	case kindSession:
		if s, ok := m.sessions.byID.Get(sessionAt(a.id)); ok {
			return s.Revision, true
		}
	case kindAdministrator:
		if n, ok := m.administrators.Get(administratorAt(a)); ok {
			return n.Revision, true
		}
	case kindBootstrap:
		if m.end != nil {
			return m.end.rev, true
		}
	case kindSessionUse:
		if u, ok := m.used.Get(&sessionUse{id: a.id}); ok {
			return u.rev, true
		}
	}
	return 0, false
}

// size is how many keys the image holds.
func (m *image) size() int {
	return m.orgs.Len() + m.slugs.Len() + m.secrets.Len() + m.secretNames.Len() + m.versions.Len() + m.consumers.Len() + m.consumerNames.Len() +
		m.providers.Len() + m.providerNames.Len() + m.people.size() + len(m.broken)
}

// missingKey returns an error that names the keys which records need and the ring lacks, nil if there are none.
func (m *image) missingKey() error {
	if len(m.broken) == 0 {
		return nil
	}
	counts := make(map[envelope.KID]int)
	for _, b := range m.broken {
		if unknown, ok := errors.AsType[*envelope.UnknownKeyError](b.err); ok {
			counts[unknown.KID]++
		}
	}
	var errs []error
	for kid, n := range counts {
		errs = append(errs, fmt.Errorf("%w: key %s is not in the ring and %d records need it", ErrKey, kid, n))
	}
	return errors.Join(errs...)
}
