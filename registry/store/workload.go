// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Workload is a running pod and what it received of one organization. It may say more than happened, such as an answer that never arrived, never less.
type Workload struct {
	ID             string // the pod's uid
	OrgID          string
	Cluster        string
	Namespace      string
	Pod            string
	Node           string
	ServiceAccount string
	ReceivedAt     time.Time // the newest answer
	Containers     []WorkloadContainer
}

// WorkloadContainer is what one container received.
type WorkloadContainer struct {
	Name       string
	ConsumerID string
	Consumer   string // its name now, or then if it is gone; empty if there was none
	ReceivedAt time.Time
	Envs       []WorkloadEnv // those whose values are secrets
}

// WorkloadEnv is one ENV and the version it has.
type WorkloadEnv struct {
	Name     string
	SecretID string
	Secret   string // its name now; empty if it is gone
	Version  uint64 // 0 of a remote secret
	Inline   bool   // the pod refers to the secret itself
	Pinned   bool   // and to this version
	// LastKnownGood says that the provider did not answer, and that the value is the one it gave at FetchedAt.
	LastKnownGood bool
	FetchedAt     time.Time
	Stale         Staleness
}

// Staleness is why a pod that started now would not receive what this one has.
type Staleness string

// The reasons. What changes at the provider of a remote secret is not known, and no reason.
const (
	Current        Staleness = ""
	StaleVersion   Staleness = "version"   // another version is active, or pinned
	StaleStorage   Staleness = "storage"   // the secret was local and is remote now, or the other way round
	StaleReference Staleness = "reference" // the consumer is gone, or its ENV is, or refers to something else; or the grant is gone that an inline reference needs
	StaleDeleted   Staleness = "deleted"   // the secret is deleted, or has no active version
)

// Stale reports whether any ENV is.
func (w Workload) Stale() bool {
	return slices.ContainsFunc(w.Containers, func(c WorkloadContainer) bool {
		return slices.ContainsFunc(c.Envs, func(e WorkloadEnv) bool { return e.Stale != Current })
	})
}

// WorkloadQuery selects a page of workloads.
type WorkloadQuery struct {
	After     string // Next of the page before
	Limit     int    // 1 to [MaxPage]; 0 means [DefaultPage]
	Consumer  string // name or id
	Secret    string // name or id
	Cluster   string
	Namespace string
	Pod       string
	Stale     *bool
}

// Workloads lists the pods that received something of an organization, ordered by cluster, namespace and name. A record that does not verify is left out.
func (s *Store) Workloads(ctx context.Context, orgID string, q WorkloadQuery) (Page[Workload], error) {
	limit, err := pageSize(q.Limit)
	if err != nil {
		return Page[Workload]{}, err
	}
	after, err := s.openToken(q.After, kindGrant, orgID, q)
	if err != nil {
		return Page[Workload]{}, err
	}
	page, last := Page[Workload]{}, ""
	err = s.walkWorkloads(ctx, orgID, after, q, func(key string, w Workload) bool {
		if len(page.Items) == limit {
			page.Next = s.token(last, kindGrant, orgID, q)
			return false
		}
		page.Items, last = append(page.Items, w), key
		return true
	})
	if err != nil {
		return Page[Workload]{}, err
	}
	return page, nil
}

// Workload returns a workload by the uid of its pod, or [ErrNotFound], or [ErrIntegrity].
func (s *Store) Workload(ctx context.Context, orgID, id string) (Workload, error) {
	m, err := s.fresh(ctx)
	if err != nil {
		return Workload{}, err
	}
	var pod *podKey
	if err := s.walkGrantKeys(ctx, s.space.grants(orgID), func(_ string, p podKey) {
		if p.uid == id {
			pod = &p
		}
	}); err != nil {
		return Workload{}, err
	}
	if pod == nil {
		return Workload{}, fmt.Errorf("workload: %w", ErrNotFound)
	}
	w := pod.workload()
	var broken error
	err = s.walkGrants(ctx, s.space.grantsOf(*pod), "", func(_ string, _ podKey, g grant, err error) bool {
		if broken = err; err == nil {
			w.add(g)
		}
		return err == nil
	})
	switch {
	case err != nil || broken != nil:
		return Workload{}, errors.Join(err, broken)
	case w.Containers == nil: // it went away meanwhile
		return Workload{}, fmt.Errorf("workload: %w", ErrNotFound)
	}
	s.describe(m, &w)
	return w, nil
}

func (p podKey) workload() Workload {
	return Workload{ID: p.uid, OrgID: p.org, Cluster: p.cluster, Namespace: p.namespace, Pod: p.pod}
}

// walkWorkloads yields the workloads a query selects, each with its last key, after a key.
func (s *Store) walkWorkloads(ctx context.Context, orgID, after string, q WorkloadQuery, yield func(lastKey string, w Workload) bool) error {
	m, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	if secret, err := m.findSecret(s.space, orgID, q.Secret); err == nil {
		q.Secret = secret.ID
	}
	var pending *Workload // whose grants may not all have been seen
	key, on := "", true
	flush := func() bool {
		if pending == nil {
			return true
		}
		w := *pending
		pending = nil
		s.describe(m, &w)
		return !q.selects(w) || yield(key, w)
	}
	err = s.walkGrants(ctx, s.space.grants(orgID), after, func(at string, p podKey, g grant, err error) bool {
		if err != nil {
			return true
		}
		if pending == nil || pending.ID != p.uid || pending.Cluster != p.cluster {
			if on = flush(); !on {
				return false
			}
			w := p.workload()
			pending = &w
		}
		pending.add(g)
		key = at
		return true
	})
	if err == nil && on {
		flush()
	}
	return err
}

// add takes over what one answer gave. Of two answers to one container the newer one counts.
func (w *Workload) add(g grant) {
	w.ServiceAccount = g.ServiceAccount
	if g.At.After(w.ReceivedAt) {
		w.ReceivedAt, w.Node = g.At, g.Node
	}
	for _, from := range g.Containers {
		c := WorkloadContainer{Name: from.Name, ConsumerID: from.ConsumerID, Consumer: from.Consumer, ReceivedAt: g.At}
		for _, e := range from.Envs {
			c.Envs = append(c.Envs, WorkloadEnv{Name: e.Name, SecretID: e.SecretID, Version: e.Version, Inline: e.Inline, Pinned: e.Pinned, LastKnownGood: e.LastKnownGood, FetchedAt: e.FetchedAt})
		}
		i := slices.IndexFunc(w.Containers, func(have WorkloadContainer) bool { return have.Name == c.Name })
		switch {
		case i < 0:
			w.Containers = append(w.Containers, c)
		case !c.ReceivedAt.Before(w.Containers[i].ReceivedAt):
			w.Containers[i] = c
		}
	}
}

// describe fills in what is known now: names, and what is stale.
func (s *Store) describe(m *image, w *Workload) {
	slices.SortFunc(w.Containers, func(a, b WorkloadContainer) int { return cmp.Compare(a.Name, b.Name) })
	for i := range w.Containers {
		c := &w.Containers[i]
		consumer, err := m.consumer(s.space, w.OrgID, c.ConsumerID)
		if err == nil {
			c.Consumer = consumer.Name
		} else {
			consumer = nil
		}
		for j := range c.Envs {
			e := &c.Envs[j]
			secret, err := m.secret(s.space, w.OrgID, e.SecretID)
			if err == nil {
				e.Secret = secret.Name
			} else {
				secret = nil
			}
			if e.Inline {
				e.Stale = inlineStaleness(secret, Binding{w.Cluster, w.Namespace, w.ServiceAccount}, *e)
			} else {
				e.Stale = staleness(consumer, secret, *e)
			}
		}
	}
}

// staleness compares an ENV with what its consumer would give now; either may be nil if it is gone.
func staleness(c *Consumer, secret *Secret, e WorkloadEnv) Staleness {
	if c == nil {
		return StaleReference
	}
	i := slices.IndexFunc(c.Envs, func(have Env) bool { return have.Name == e.Name })
	switch {
	case i < 0 || c.Envs[i].SecretID != e.SecretID:
		return StaleReference
	case secret == nil || secret.DeletedAt != nil:
		return StaleDeleted
	}
	return secret.staleness(c.Envs[i].Version, e)
}

// inlineStaleness compares an ENV that refers to a secret itself with what the pod's service account would receive now.
func inlineStaleness(secret *Secret, pod Binding, e WorkloadEnv) Staleness {
	switch {
	case secret == nil || secret.DeletedAt != nil:
		return StaleDeleted
	case !slices.Contains(secret.Grants, pod):
		return StaleReference
	case e.Pinned:
		return secret.staleness(e.Version, e)
	}
	return secret.staleness(0, e)
}

// staleness compares an ENV with the version of the secret that would be sent now: the pinned one, or the active one if pinned is 0.
func (s *Secret) staleness(pinned uint64, e WorkloadEnv) Staleness {
	switch {
	case (s.Storage == StorageRemote) != (e.Version == 0):
		return StaleStorage
	case s.Storage == StorageRemote:
		return Current
	}
	switch want := cmp.Or(pinned, s.ActiveVersion); want {
	case 0:
		return StaleDeleted
	case e.Version:
		return Current
	}
	return StaleVersion
}

// selects reports whether the workload is one the query asks for. Secret is an id, if there is such a secret.
func (q WorkloadQuery) selects(w Workload) bool {
	if q.Cluster != "" && q.Cluster != w.Cluster || q.Namespace != "" && q.Namespace != w.Namespace || q.Pod != "" && q.Pod != w.Pod ||
		q.Stale != nil && *q.Stale != w.Stale() {
		return false
	}
	if q.Consumer != "" && !slices.ContainsFunc(w.Containers, func(c WorkloadContainer) bool { return c.Consumer == q.Consumer || c.ConsumerID == q.Consumer }) {
		return false
	}
	return q.Secret == "" || slices.ContainsFunc(w.Containers, func(c WorkloadContainer) bool {
		return slices.ContainsFunc(c.Envs, func(e WorkloadEnv) bool { return e.SecretID == q.Secret })
	})
}
