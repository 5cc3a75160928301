// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"strings"

	"k8s.io/utils/third_party/forked/golang/btree"
)

// image is everything in the watched range of keys as of one revision. A published image never changes; [edit] makes the next one from it, sharing all that
// stays. Its trees are ordered so that a list is a walk.
type image struct {
	rev int64 // every change up to this revision is in

	orgs          *btree.BTree[*Organization] // by id
	slugs         *btree.BTree[index]
	secrets       *btree.BTree[*Secret] // by organization, id
	secretNames   *btree.BTree[index]
	versions      *btree.BTree[*sealedVersion] // by secret, number
	consumers     *btree.BTree[*Consumer]      // by organization, id
	consumerNames *btree.BTree[index]
	providers     *btree.BTree[*sealedProvider] // by organization, id
	providerNames *btree.BTree[index]
	uses          *btree.BTree[use] // derived from consumers
	people
	broken map[string]brokenRecord // :: key → why; small, replaced as a whole
	tip    int64
}

// index says which object a name belongs to.
type index struct {
	org, name, id string
	rev           int64
}

// sealedVersion is a version with its envelope, empty when it was destroyed.
type sealedVersion struct {
	Version
	org, secret string
	sealed      []byte
	rev         int64
}

// use says that a consumer refers to a secret.
type use struct {
	secret   string
	consumer *Consumer
}

// brokenRecord is a record that did not verify. Only its object fails, with err.
type brokenRecord struct {
	rev int64
	err error
}

// degree gives nodes of up to 63 items: a change copies about 1.5 KiB of pointers per tree, a lookup among 100,000 takes three nodes.
const degree = 32

func newImage() *image {
	return &image{
		orgs:        btree.New(degree, func(a, b *Organization) bool { return a.ID < b.ID }),
		slugs:       btree.New(degree, index.less),
		secrets:     btree.New(degree, func(a, b *Secret) bool { return less(a.OrgID, a.ID, b.OrgID, b.ID) }),
		secretNames: btree.New(degree, index.less),
		versions: btree.New(degree, func(a, b *sealedVersion) bool {
			return cmp.Or(cmp.Compare(a.secret, b.secret), cmp.Compare(a.Number, b.Number)) < 0
		}),
		consumers:     btree.New(degree, func(a, b *Consumer) bool { return less(a.OrgID, a.ID, b.OrgID, b.ID) }),
		consumerNames: btree.New(degree, index.less),
		providers:     btree.New(degree, func(a, b *sealedProvider) bool { return less(a.OrgID, a.ID, b.OrgID, b.ID) }),
		providerNames: btree.New(degree, index.less),
		uses:          btree.New(degree, func(a, b use) bool { return less(a.secret, a.consumer.ID, b.secret, b.consumer.ID) }),
		people:        newPeople(),
	}
}

func less(a1, a2, b1, b2 string) bool {
	if c := strings.Compare(a1, b1); c != 0 {
		return c < 0
	}
	return a2 < b2
}

func (i index) less(j index) bool { return less(i.org, i.name, j.org, j.name) }

// clone returns an image that may be changed while readers keep using m. Only the goroutine that publishes images may call it.
func (m *image) clone() *image {
	n := *m
	n.orgs, n.slugs = m.orgs.Clone(), m.slugs.Clone()
	n.secrets, n.secretNames, n.versions = m.secrets.Clone(), m.secretNames.Clone(), m.versions.Clone()
	n.providers, n.providerNames = m.providers.Clone(), m.providerNames.Clone()
	n.consumers, n.consumerNames, n.uses = m.consumers.Clone(), m.consumerNames.Clone(), m.uses.Clone()
	n.people = m.people.clone()
	return &n
}

func (m *image) setBroken(key string, b brokenRecord) {
	next := maps.Clone(m.broken)
	if next == nil {
		next = make(map[string]brokenRecord, 1)
	}
	next[key] = b
	m.broken = next
}

func (m *image) clearBroken(key string) {
	if _, ok := m.broken[key]; ok {
		next := maps.Clone(m.broken)
		delete(next, key)
		m.broken = next
	}
}

// Lookups. Each returns ErrNotFound, or why the object's record does not verify.

func (m *image) org(k keyspace, id string) (*Organization, error) {
	if o, ok := m.orgs.Get(&Organization{Meta: Meta{ID: id}}); ok {
		return o, nil
	}
	return nil, m.missing(k.org(id))
}

func (m *image) orgBySlug(k keyspace, slug string) (*Organization, error) {
	i, ok := m.slugs.Get(index{name: slug})
	if !ok {
		return nil, m.missing(k.slug(slug))
	}
	o, err := m.org(k, i.id)
	if err == nil && o.Slug != slug {
		return nil, ErrIntegrity // an index record from before; the slug of an organization never changes
	}
	return o, err
}

func (m *image) secret(k keyspace, org, id string) (*Secret, error) {
	if s, ok := m.secrets.Get(&Secret{OrgID: org, Meta: Meta{ID: id}}); ok {
		return s, nil
	}
	return nil, m.missing(k.secret(org, id))
}

func (m *image) secretByName(k keyspace, org, name string) (*Secret, error) {
	i, ok := m.secretNames.Get(index{org: org, name: name})
	if !ok {
		return nil, m.missing(k.secretName(org, name))
	}
	s, err := m.secret(k, org, i.id)
	if err == nil && s.Name != name {
		return nil, ErrIntegrity // an index record from before the secret was renamed, put back
	}
	return s, err
}

func (m *image) consumer(k keyspace, org, id string) (*Consumer, error) {
	if c, ok := m.consumers.Get(&Consumer{OrgID: org, Meta: Meta{ID: id}}); ok {
		return c, nil
	}
	return nil, m.missing(k.consumer(org, id))
}

func (m *image) consumerByName(k keyspace, org, name string) (*Consumer, error) {
	i, ok := m.consumerNames.Get(index{org: org, name: name})
	if !ok {
		return nil, m.missing(k.consumerName(org, name))
	}
	c, err := m.consumer(k, org, i.id)
	if err == nil && c.Name != name {
		return nil, ErrIntegrity
	}
	return c, err
}

func (m *image) version(k keyspace, org, secret string, number uint64) (*sealedVersion, error) {
	v, ok := m.versions.Get(&sealedVersion{secret: secret, Version: Version{Number: number}})
	if ok && v.org == org {
		return v, nil
	}
	return nil, m.missing(k.version(org, secret, number))
}

func (m *image) missing(key string) error {
	if b, ok := m.broken[key]; ok {
		return b.err
	}
	return ErrNotFound
}

// users calls yield for every consumer that refers to the secret, by consumer id.
func (m *image) users(secret string, yield func(*Consumer) bool) {
	m.uses.AscendGreaterOrEqual(use{secret, &Consumer{}}, func(u use) bool { return u.secret == secret && yield(u.consumer) })
}

// references lists who uses the secret, for people.
func (m *image) references(secret string) []Reference {
	var refs []Reference
	m.users(secret, func(c *Consumer) bool {
		for _, e := range c.Envs {
			if e.SecretID == secret {
				refs = append(refs, Reference{Kind: "consumer", ID: c.ID, Name: c.Name, Field: "env " + e.Name})
			}
		}
		return true
	})
	return refs
}
