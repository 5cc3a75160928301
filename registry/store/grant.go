// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lanyard-dev/lanyard/registry/audit"
)

// maxGrants is how many grants go into one transaction: with the two records of the audit chain it stays below the 128 operations etcd allows by default.
const maxGrants = 96

// grant is the record of one answer to a pod: what its containers received of one organization. What the key says (cluster, namespace, pod, its uid) is not
// repeated; the record is authenticated for its key.
type grant struct {
	At             time.Time        `json:"at"`
	Node           string           `json:"node,omitempty"`
	ServiceAccount string           `json:"sa"`
	Containers     []grantContainer `json:"containers"`
}

type grantContainer struct {
	Name       string     `json:"name"`
	ConsumerID string     `json:"consumer_id,omitempty"`
	Consumer   string     `json:"consumer"` // its name at the time, without the organization; empty if the container has inline references only
	Envs       []grantEnv `json:"envs,omitempty"`
}

// grantEnv is one ENV whose value is a secret's.
type grantEnv struct {
	Name     string `json:"name"`
	SecretID string `json:"secret_id"`
	Version  uint64 `json:"version,omitempty"` // 0 of a remote secret
	Inline   bool   `json:"inline,omitempty"`  // the pod referred to the secret itself, without a consumer
	Pinned   bool   `json:"pinned,omitempty"`  // and to this version
	// LastKnownGood and FetchedAt are those of [audit.Grant].
	LastKnownGood bool      `json:"last_known_good,omitempty"`
	FetchedAt     time.Time `json:"fetched_at,omitzero"`
}

// grantOps write the grants of events. An answer replaces the one before it to the same containers of the same pod; of several in one transaction, which
// etcd would refuse, the last one counts.
func (s *Store) grantOps(events []audit.Event) ([]clientv3.Op, error) {
	records := make(map[string]string) // :: key → record
	for _, e := range events {
		if !grants(e) {
			continue
		}
		w := e.Workload
		g := grant{At: e.Time.UTC().Truncate(time.Millisecond), Node: w.Node, ServiceAccount: w.ServiceAccount}
		for _, released := range w.Released {
			c := g.container(released)
			if released.SecretID != "" {
				c.Envs = append(c.Envs, grantEnv{released.Env, released.SecretID, released.Version, released.Consumer == "", released.Pinned, released.LastKnownGood, released.FetchedAt})
			}
		}
		key := s.space.grant(podKey{e.OrgID, w.Cluster, w.Namespace, w.Pod, w.PodUID}, g.Containers[0].Name)
		record, err := seal(s.keys, key, kindGrant, g)
		if err != nil {
			return nil, err
		}
		records[key] = record
	}
	ops := make([]clientv3.Op, 0, len(records))
	for _, key := range slices.Sorted(maps.Keys(records)) {
		ops = append(ops, clientv3.OpPut(key, records[key]))
	}
	return ops, nil
}

// grants reports whether an event tells that values were released to a pod.
func grants(e audit.Event) bool {
	return e.OrgID != "" && e.Outcome == audit.Allowed && e.Workload != nil && len(e.Workload.Released) > 0
}

// releases reports whether an event tells that a secret was released to a pod.
func releases(e audit.Event, secretID string) bool {
	return grants(e) && slices.ContainsFunc(e.Workload.Released, func(g audit.Grant) bool { return g.SecretID == secretID })
}

func (g *grant) container(released audit.Grant) *grantContainer {
	for i := range g.Containers {
		if g.Containers[i].Name == released.Container {
			return &g.Containers[i]
		}
	}
	_, name, _ := strings.Cut(released.Consumer, "/")
	g.Containers = append(g.Containers, grantContainer{Name: released.Container, ConsumerID: released.ConsumerID, Consumer: name})
	return &g.Containers[len(g.Containers)-1]
}

// podKey is what a grant's key says of the pod.
type podKey struct{ org, cluster, namespace, pod, uid string }

// parseGrant parses a key below grants/. ok is false for what no release wrote.
func (k keyspace) parseGrant(key string) (p podKey, ok bool) {
	rest, ok := strings.CutPrefix(key, k.allGrants())
	part := strings.Split(rest, "/")
	if !ok || len(part) != 6 {
		return podKey{}, false
	}
	cluster, err := url.PathUnescape(part[1])
	return podKey{part[0], cluster, part[2], part[3], part[4]}, err == nil
}

// walkGrants yields what is below a prefix and after a key, in the order of keys, all as of one revision, until yield returns false. A record that does not verify is yielded with its error.
func (s *Store) walkGrants(ctx context.Context, prefix, after string, yield func(key string, p podKey, g grant, err error) bool) error {
	const page = 512 // at 700 bytes a grant of ten ENVs, a third of a MiB
	_, err := s.walk(ctx, "workloads", max(prefix, after+"\x00"), clientv3.GetPrefixRangeEnd(prefix), page, func(kv keyValue) error {
		p, ok := s.space.parseGrant(kv.key)
		if !ok {
			return nil
		}
		var g grant
		err := unseal(s.keys, kv.key, kindGrant, kv.value, &g)
		if err != nil {
			s.counters.integrity.Add(1)
			s.log.Error("record does not verify", "key", kv.key, "err", err)
			err = fmt.Errorf("workload %s/%s: %w", p.namespace, p.pod, err)
		}
		if !yield(kv.key, p, g, err) {
			return errEnough
		}
		return nil
	})
	return err
}

// holding is who has received a secret by a state of its organization's chain, or later.
type holding struct {
	by   []Reference
	head chainHead
}

// errReleased is returned when a pod received a secret while something was decided on nobody having it.
var errReleased = errors.New("released meanwhile")

// holding reads who holds a secret. It may look at every pod of the organization, so it is done before the chain is locked, which every start of a pod
// needs; [Store.checkUnreleased] makes up for what comes after.
func (s *Store) holding(ctx context.Context, orgID, secretID string) (holding, error) {
	_, head, err := s.heads(ctx, orgID)
	if err != nil {
		return holding{}, err
	}
	by, err := s.holders(ctx, orgID, secretID)
	return holding{by, head}, err
}

// checkUnreleased returns errReleased if a pod received the change's secret between the state of the chain it was decided on and the one given.
func (s *Store) checkUnreleased(ctx context.Context, chainName string, ch *change, head chainHead) error {
	if ch.unreleased == "" || head.Seq == ch.since.Seq {
		return nil
	}
	if head.First > ch.since.Seq+1 {
		return errReleased // what came is not kept any more
	}
	released := false
	err := s.walkAudit(ctx, chainName, head.Seq+1, func(seq uint64, e audit.Event) bool {
		if seq <= ch.since.Seq {
			return false
		}
		released = releases(e, ch.unreleased)
		return !released
	})
	if err != nil {
		return err
	}
	if released {
		return errReleased
	}
	ch.since = head
	return nil
}

// holders lists the pods that received a secret, for people. A pod whose record does not verify may have received it: the error is [ErrIntegrity] then.
func (s *Store) holders(ctx context.Context, orgID, secretID string) ([]Reference, error) {
	var refs []Reference
	var broken error
	err := s.walkGrants(ctx, s.space.grants(orgID), "", func(_ string, p podKey, g grant, err error) bool {
		if broken = err; err != nil {
			return false
		}
		for _, c := range g.Containers {
			for _, e := range c.Envs {
				if e.SecretID == secretID {
					refs = append(refs, Reference{Kind: "workload", ID: p.uid, Name: p.namespace + "/" + p.pod, Field: "container " + c.Name + " env " + e.Name})
				}
			}
		}
		return true
	})
	if err == nil {
		err = broken
	}
	return refs, err
}
