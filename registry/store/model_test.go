// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lanyard-dev/lanyard/registry/store"
	"github.com/lanyard-dev/lanyard/registry/store/storetest"
)

// model is what one organization should hold.
type model struct {
	secrets   map[string]*modelSecret
	consumers map[string]map[string]string // :: consumer → ENV → secret
	events    uint64
}

type modelSecret struct {
	active   uint64
	values   map[uint64]string // destroyed ones are missing
	last     uint64
	deleted  bool
	revision int64
	id       string
}

// TestTheStoreDoesWhatAModelDoes runs random operations on two replicas, with a third one opened afresh now and then, and compares every answer and in the end
// everything readable with a map.
func TestTheStoreDoesWhatAModelDoes(t *testing.T) {
	client, _ := storetest.Etcd(t)
	ring := storetest.Ring(t, storetest.Key(t))
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		m := &machine{
			config: store.Config{Client: client, Prefix: fmt.Sprintf("/model-%d/", round), Keys: ring},
			model:  model{secrets: make(map[string]*modelSecret), consumers: make(map[string]map[string]string)},
		}
		defer m.close()
		m.replicas = []*store.Store{m.open(rt), m.open(rt)}
		o, err := m.replicas[0].CreateOrganization(context.Background(), act, store.Organization{Slug: "acme"})
		if err != nil {
			rt.Fatal(err)
		}
		m.org = o.ID
		rt.Repeat(map[string]func(*rapid.T){
			"":               m.compare,
			"create secret":  m.createSecret,
			"put":            m.put,
			"activate":       m.activate,
			"destroy":        m.destroy,
			"delete":         m.delete,
			"undelete":       m.undelete,
			"set consumer":   m.setConsumer,
			"drop consumer":  m.dropConsumer,
			"another reopen": m.reopen,
		})
		if n, _, err := m.replicas[0].VerifyAudit(context.Background(), m.org); err != nil || n != m.model.events {
			rt.Fatalf("the audit chain holds %d events, want %d: %v", n, m.model.events, err)
		}
	})
}

type machine struct {
	config   store.Config
	replicas []*store.Store
	stops    []func()
	org      string
	model    model
}

func (m *machine) open(rt *rapid.T) *store.Store {
	s, err := store.Open(context.Background(), m.config)
	if err != nil {
		rt.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	m.stops = append(m.stops, func() { cancel(); <-done })
	return s
}

func (m *machine) close() {
	for _, stop := range m.stops {
		stop()
	}
}

func (m *machine) store(rt *rapid.T) *store.Store {
	return rapid.SampledFrom(m.replicas).Draw(rt, "replica")
}

func (m *machine) name(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "name")
}

// live returns a secret of the model that exists, or skips.
func (m *machine) live(rt *rapid.T) (string, *modelSecret) {
	name := m.name(rt)
	s, ok := m.model.secrets[name]
	if !ok {
		rt.Skip("no such secret")
	}
	return name, s
}

// settle checks that an operation failed exactly if the model says so.
func (m *machine) settle(rt *rapid.T, err error, want error) bool {
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		rt.Fatalf("got %v, want %v", err, want)
	}
	if err == nil {
		m.model.events++
	}
	return err == nil
}

func (m *machine) createSecret(rt *rapid.T) {
	name, value := m.name(rt), rapid.StringN(0, 3, 12).Draw(rt, "value")
	var want error
	if _, taken := m.model.secrets[name]; taken {
		want = store.ErrExists
	}
	s, err := m.store(rt).CreateSecret(context.Background(), act, m.org, store.NewSecret{Name: name, Value: secretValue(value)})
	if m.settle(rt, err, want) {
		m.model.secrets[name] = &modelSecret{active: 1, last: 1, values: map[uint64]string{1: value}, revision: s.Revision, id: s.ID}
	}
}

func (m *machine) put(rt *rapid.T) {
	_, s := m.live(rt)
	value, activate := rapid.StringN(0, 3, 12).Draw(rt, "value"), rapid.Bool().Draw(rt, "activate")
	expect := rapid.SampledFrom([]int64{0, s.revision, s.revision - 1}).Draw(rt, "expect")
	var want error
	switch {
	case s.deleted:
		want = store.ErrNotFound
	case expect == s.revision-1:
		want = store.ErrConflict
	}
	got, v, err := m.store(rt).PutVersion(context.Background(), act, m.org, s.id, expect, *secretValue(value), activate)
	if want == nil && value == s.values[s.active] {
		if err != nil || v.Number != s.active || got.Revision != s.revision {
			rt.Fatalf("an identical put gave version %d, %v", v.Number, err)
		}
		return
	}
	if m.settle(rt, err, want) {
		s.last++
		s.values[s.last], s.revision = value, got.Revision
		if activate {
			s.active = s.last
		}
		if v.Number != s.last {
			rt.Fatalf("version %d, want %d", v.Number, s.last)
		}
	}
}

func (m *machine) activate(rt *rapid.T) {
	_, s := m.live(rt)
	number := rapid.Uint64Range(1, s.last+1).Draw(rt, "number")
	var want error
	if _, ok := s.values[number]; s.deleted {
		want = store.ErrNotFound
	} else if !ok {
		want = store.ErrInvalid
	}
	got, err := m.store(rt).ActivateVersion(context.Background(), act, m.org, s.id, 0, number)
	if want == nil && number == s.active {
		if err != nil {
			rt.Fatal(err)
		}
		return
	}
	if m.settle(rt, err, want) {
		s.active, s.revision = number, got.Revision
	}
}

func (m *machine) destroy(rt *rapid.T) {
	_, s := m.live(rt)
	number := rapid.Uint64Range(1, s.last).Draw(rt, "number")
	var want error
	switch {
	case s.deleted:
		want = store.ErrNotFound
	case number == s.active:
		want = store.ErrInvalid
	}
	st := m.store(rt)
	_, err := st.DestroyVersion(context.Background(), act, m.org, s.id, 0, number)
	if _, ok := s.values[number]; want == nil && !ok {
		if err != nil {
			rt.Fatal(err)
		}
		return
	}
	if m.settle(rt, err, want) {
		delete(s.values, number)
		m.refresh(rt, st, s)
	}
}

func (m *machine) delete(rt *rapid.T) {
	name, s := m.live(rt)
	force := rapid.Bool().Draw(rt, "force")
	var want error
	switch {
	case s.deleted:
		want = store.ErrNotFound
	case !force && m.referenced(name):
		want = store.ErrReferenced
	}
	st := m.store(rt)
	if m.settle(rt, st.DeleteSecret(context.Background(), act, m.org, s.id, 0, force), want) {
		s.deleted = true
		m.refresh(rt, st, s)
	}
}

func (m *machine) undelete(rt *rapid.T) {
	_, s := m.live(rt)
	var want error
	if !s.deleted {
		want = store.ErrInvalid
	}
	got, err := m.store(rt).UndeleteSecret(context.Background(), act, m.org, s.id, 0)
	if m.settle(rt, err, want) {
		s.deleted, s.revision = false, got.Revision
	}
}

func (m *machine) setConsumer(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "consumer")
	wanted := make(map[string]string)
	var envs []store.Env
	var want error
	for _, env := range []string{"A", "B"} {
		if secret := rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(rt, "secret of "+env); secret != "" {
			wanted[env] = secret
			envs = append(envs, store.Env{Name: env, SecretID: secret})
			if s, ok := m.model.secrets[secret]; !ok || s.deleted {
				want = store.ErrInvalid
			}
		}
	}
	if _, exists := m.model.consumers[name]; exists {
		want = store.ErrExists
	}
	_, err := m.store(rt).CreateConsumer(context.Background(), act, m.org, store.Consumer{Name: name, Kind: store.ConsumerAgent, Envs: envs})
	if m.settle(rt, err, want) {
		m.model.consumers[name] = wanted
	}
}

func (m *machine) dropConsumer(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "consumer")
	if _, ok := m.model.consumers[name]; !ok {
		rt.Skip("no such consumer")
	}
	c, err := m.store(rt).Consumer(context.Background(), m.org, name)
	if err != nil {
		rt.Fatal(err)
	}
	if m.settle(rt, m.store(rt).DeleteConsumer(context.Background(), act, m.org, c.ID, c.Revision), nil) {
		delete(m.model.consumers, name)
	}
}

func (m *machine) reopen(rt *rapid.T) {
	if len(m.replicas) < 4 {
		m.replicas = append(m.replicas, m.open(rt))
	}
}

func (m *machine) refresh(rt *rapid.T, st *store.Store, s *modelSecret) {
	got, err := st.Secret(context.Background(), m.org, s.id)
	if err != nil {
		rt.Fatal(err)
	}
	s.revision = got.Revision
}

func (m *machine) referenced(secret string) bool {
	for _, envs := range m.model.consumers {
		if slices.Contains(slices.Collect(maps.Values(envs)), secret) {
			return true
		}
	}
	return false
}

// compare reads everything from any replica and compares it with the model.
func (m *machine) compare(rt *rapid.T) {
	view, err := m.store(rt).View(context.Background())
	if err != nil {
		rt.Fatal(err)
	}
	want, got := make(map[string]string), make(map[string]string)
	for name, envs := range m.model.consumers {
		c, ok := view.Consumer("acme", name)
		if !ok || len(c.Envs) != len(envs) {
			rt.Fatalf("consumer %s: got %+v", name, c)
		}
		for _, e := range c.Envs {
			s := m.model.secrets[envs[e.Name]]
			key := name + "/" + e.Name
			want[key] = "missing"
			if !s.deleted {
				want[key] = s.values[s.active]
			}
			got[key] = "missing"
			if secret, ok := view.Secret(m.org, e.SecretID); ok {
				value, err := view.OpenVersion(m.org, secret.ID, secret.ActiveVersion)
				if err != nil {
					rt.Fatal(err)
				}
				got[key] = string(value.Reveal())
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatal(diff)
	}
	for name, s := range m.model.secrets {
		secret, err := m.store(rt).Secret(context.Background(), m.org, name)
		if err != nil || secret.ActiveVersion != s.active || secret.LastVersion != s.last || (secret.DeletedAt != nil) != s.deleted || secret.Revision != s.revision {
			rt.Fatalf("secret %s: got %+v, %v, want %+v", name, secret, err, s)
		}
	}
}
